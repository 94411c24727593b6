"""The volumes of a case as files that the page loads: CT, detection map, segmentation, border of the ROI, surfaces."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ctcore.cts import read_case
from ctcore.errors import CaseError, RequestError
from ctcore.files import read, write
from ctcore.geometry import Box, Inset
from ctcore.volume import Volume
from pipeline.records import CaseRecord
from pipeline.viewer.shown import ShownRun
from pipeline.viewer.surfaces import mz3, surface

CT, DETECTION, SEGMENTATION, ROI = "ct.nii", "detection.nii.gz", "segmentation.nii.gz", "roi.nii.gz"
EVIDENCE = "evidence.nii.gz"
CANDIDATES_SURFACE = "surface-candidates.mz3"

_SURFACE = re.compile(r"surface-(\d{1,3})\.mz3")
_INT16 = np.iinfo(np.int16)


class CaseVolumes:
    """Makes the files of one case at a time in a folder of its own; those of the one before are removed.

    Args:
        shown: the run.
    """

    def __init__(self, shown: ShownRun) -> None:
        self._shown = shown
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._case_id: str | None = None
        self._lock = threading.Lock()

    def file(self, case_id: str, name: str) -> Path:
        """Returns where a file of a case lies; it is made if it is not there.

        Raises:
            RequestError: there is no such file, or what it is made from is gone or damaged.
        """
        with self._lock:
            if self._case_id != case_id or self._scratch is None:
                self._clear()
                self._scratch, self._case_id = tempfile.TemporaryDirectory(prefix="pipeline-view-"), case_id
            path = Path(self._scratch.name) / name
            if not path.is_file():
                record = self._shown.record(case_id)
                try:
                    self._maker(record, name)(record, path)
                except CaseError as error:
                    raise RequestError(str(error)) from error
            return path

    def close(self) -> None:
        """Removes what was made."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()
        self._scratch = self._case_id = None

    def _maker(self, record: CaseRecord, name: str) -> Callable[[CaseRecord, Path], None]:
        output = self._shown.output
        makers: dict[str, Callable[[CaseRecord, Path], None]] = {
            CT: self._ct,
            DETECTION: partial(_as_nifti, source=output.detection_path(record.case_id)),
            SEGMENTATION: partial(_as_nifti, source=output.segmentation_path(record.case_id)),
            EVIDENCE: partial(_as_nifti, source=output.evidence_path(record.case_id)),
            ROI: self._roi,
            CANDIDATES_SURFACE: self._candidates,
        }
        number = _SURFACE.fullmatch(name)
        if number:
            return partial(self._label, value=int(number[1]))
        if name not in makers:
            raise RequestError(f"a case has no file '{name}'")
        return makers[name]

    def _ct(self, record: CaseRecord, path: Path) -> None:
        ct = read_case(self._shown.ct(record))
        whole = bool(np.all(ct.array == np.rint(ct.array)))
        if whole and _INT16.min <= ct.array.min() and ct.array.max() <= _INT16.max:
            ct = ct.with_array(ct.array.astype(np.int16))  # half the way to the browser
        write(ct, path)

    def _roi(self, record: CaseRecord, path: Path) -> None:
        """Writes the border of the ROI, a voxel thick."""
        if record.roi is None:
            raise RequestError(f"case '{record.case_id}' has no ROI")
        box = Box(record.roi.start, record.roi.stop)
        border = np.ones(box.shape, np.uint8)
        border[1:-1, 1:-1, 1:-1] = 0
        write(Inset(border, box, self._map(record).geometry), path)

    def _label(self, record: CaseRecord, path: Path, value: int) -> None:
        labels = read(self._shown.output.segmentation_path(record.case_id))
        path.write_bytes(mz3(*surface(labels.array == value, labels.geometry)))

    def _candidates(self, record: CaseRecord, path: Path) -> None:
        detection = self._map(record)
        path.write_bytes(mz3(*surface(detection.array > 0, detection.geometry)))

    def _map(self, record: CaseRecord) -> Volume:
        return read(self._shown.output.detection_path(record.case_id))


def _as_nifti(record: CaseRecord, path: Path, source: Path) -> None:
    del record
    write(read(source), path)

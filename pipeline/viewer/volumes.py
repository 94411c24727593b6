"""The volumes of a case as files that the page loads: CT, detection map, segmentation, border of the ROI, surfaces."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcore.cts import read_case
from ctcore.durable import write_atomic
from ctcore.errors import CaseError, RequestError
from ctcore.files import read, write
from ctcore.geometry import Box, Inset
from ctcore.scratch import remove_abandoned, scratch_folder
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
    """Makes the files of one case at a time in a scratch folder; those of the one before are removed.

    Args:
        shown: the run.
    """

    def __init__(self, shown: ShownRun) -> None:
        self._shown = shown
        self._scratch = contextlib.ExitStack()
        self._folder: Path | None = None
        self._case_id: str | None = None
        self._lock = threading.Lock()
        remove_abandoned()

    def file(self, case_id: str, name: str) -> Path:
        """Returns where a file of a case lies; it is made if it is not there.

        Raises:
            RequestError: there is no such file, or what it is made from is gone or damaged.
        """
        with self._lock:
            if self._case_id != case_id or self._folder is None:
                self._clear()
                self._folder, self._case_id = self._scratch.enter_context(scratch_folder()), case_id
            path = self._folder / name
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
        self._scratch.close()
        self._folder = self._case_id = None

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
        _write_surface(labels, labels.array == value, path)

    def _candidates(self, record: CaseRecord, path: Path) -> None:
        detection = self._map(record)
        _write_surface(detection, detection.array > 0, path)

    def _map(self, record: CaseRecord) -> Volume:
        return read(self._shown.output.detection_path(record.case_id))


def _write_surface(volume: Volume, mask: npt.NDArray[np.bool_], path: Path) -> None:
    """Writes the surface of a mask (z, y, x) on a volume's grid."""
    content = mz3(*surface(mask, volume.geometry))

    def fill(partial_path: Path) -> None:
        partial_path.write_bytes(content)

    write_atomic(path, fill)


def _as_nifti(record: CaseRecord, path: Path, source: Path) -> None:
    del record
    write(read(source), path)

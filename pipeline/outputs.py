"""The output folder of `pipeline run`: what lies where, which cases are finished, and writing without half files.

A case's `cases/CASE.json` is removed before anything else of the case is written and appears after everything else:
whenever it is there, the files it speaks of are there and complete. So it is with the tables, which speak of all cases.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from ctcore.case_names import is_text
from ctcore.durable import remove_partials, writing
from ctcore.errors import RequestError
from ctcore.files import CaseFile, is_writable, read_json, write, write_json, write_text
from ctcore.lock import FolderLock, locked
from pipeline.case import CaseResult
from pipeline.label_files import remove_label_files, write_label_files
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord, ImageFormat, MadeWith
from pipeline.run_record import RunRecord

DICOM_LESIONS = "lesions.dcm"
DICOM_SEGMENTATION = "segmentation.dcm"
DICOM_REPORT = "report.dcm"
DICOM_FILES = (DICOM_LESIONS, DICOM_SEGMENTATION, DICOM_REPORT)
"""What is made of a case in DICOM: SEG of the candidates, SEG of the segmentation, SR."""

FORMATS: tuple[ImageFormat, ...] = ("nii.gz", "mha")

CSV_FIXED_BEFORE = ("case_id", "status", "score")
CSV_FIXED_AFTER = ("detection_max", "n_candidates", "flags", "seconds")
FLAG_SEPARATOR = ";"

_MAXIMUM = "detection_max_"
"""What the terms of the fusion call the maximum of a lesion class's own map."""

logger = logging.getLogger(__name__)


class OutputFolder:
    """Paths and writers of one output folder.

    Args:
        folder: made if it is not there.
        image_format: file format of the maps.

    Raises:
        RequestError: the path is a file, or the folder cannot be made.
    """

    def __init__(self, folder: Path, image_format: ImageFormat = "nii.gz") -> None:
        if not is_text(folder):
            raise RequestError("the output has bytes in its name that are no text; give another folder")
        if folder.exists() and not folder.is_dir():
            raise RequestError(f"output '{folder}' is a file; give a folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"output '{folder}' cannot be made ({error.strerror}); give another folder") from error
        if not is_writable(folder):
            raise RequestError(f"output '{folder}' cannot be written; give another folder or change its permissions")
        self.folder = folder
        self._format = image_format
        self._lock: FolderLock | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands out of the folder for the length of a block, and removes what a killed one has left.

        Raises:
            FolderInUseError: another command writes into it.
        """
        with locked(self.folder) as lock:
            self._lock = lock
            self.remove_partials()
            try:
                yield
            finally:
                self._lock = None

    def remove_partials(self) -> None:
        """Removes files that killed writers have left unfinished; for whoever has the folder locked."""
        by_class = self.class_maps_folder.glob("*")
        dicom = self.dicom_folder("any").parent.glob("*")
        cases, reports = self.record_path("any").parent, {path.parent for path in self.report_files("any")}
        maps = (*self.maps_folders, *by_class, self.evidence_folder)
        remove_partials(self.folder, cases, *maps, *dicom, self.report_folder, *reports)

    def check(self) -> None:
        """Refuses to go on where the folder is no longer the one that was locked.

        Raises:
            OutputGoneError: it was removed or replaced.
        """
        if self._lock is not None:
            self._lock.check()

    @property
    def maps_folders(self) -> tuple[Path, Path]:
        """Folders of the detection maps and of the segmentations."""
        return self.folder / "detection_maps", self.folder / "segmentations"

    @property
    def report_folder(self) -> Path:
        """Folder of the report."""
        return self.folder / "report"

    @property
    def measurements_path(self) -> Path:
        """Where the table of measurements lies."""
        return self.folder / "measurements.csv"

    @property
    def log_path(self) -> Path:
        """The run's log, with the traceback of every failed case."""
        return self.folder / "run.log"

    def record_path(self, case_id: str) -> Path:
        """Where everything of one case is told."""
        return self.folder / "cases" / f"{case_id}.json"

    def detection_path(self, case_id: str) -> Path:
        """Where a case's detection map lies."""
        return self.maps_folders[0] / f"{case_id}.{self._format}"

    def segmentation_path(self, case_id: str) -> Path:
        """Where a case's segmentation lies."""
        return self.maps_folders[1] / f"{case_id}.{self._format}"

    @property
    def class_maps_folder(self) -> Path:
        """Folder of the detection maps of single lesion classes: one folder a class."""
        return self.folder / "detection_maps_by_class"

    def class_detection_path(self, case_id: str, class_name: str) -> Path:
        """Where a case's detection map of one lesion class lies; characters that folders may not have are escaped."""
        return self.class_maps_folder / quote(class_name, safe=" ") / f"{case_id}.{self._format}"

    @property
    def evidence_folder(self) -> Path:
        """Folder of the maps of the evidence."""
        return self.folder / "evidence"

    def evidence_path(self, case_id: str) -> Path:
        """Where the map of a case's evidence lies."""
        return self.evidence_folder / f"{case_id}.{self._format}"

    def dicom_folder(self, case_id: str) -> Path:
        """Where a case's DICOM SEG and SR lie."""
        return self.folder / "dicom" / case_id

    def picture_path(self, case_id: str) -> Path:
        """Where a case's picture for the report lies."""
        return self.report_folder / "cases" / f"{case_id}.png"

    def evidence_picture_path(self, case_id: str) -> Path:
        """Where the picture of a case's evidence lies."""
        return self.report_folder / "evidence" / f"{case_id}.png"

    def case_page_path(self, case_id: str) -> Path:
        """Where a case's page of the report lies."""
        return self.report_folder / "cases" / f"{case_id}.html"

    def finished(self, case: CaseFile, made_with: MadeWith) -> CaseRecord | None:
        """Returns the record of a case that need not be computed again, or None.

        A case is finished when its record says `done`, was made with the same bundle, options and CT file, and both
        maps are there.
        """
        record = self._whole_record(self.record_path(case.case_id))
        same = record is not None and record.made_with == made_with and record.image == case.image
        return record if same else None

    def finished_elsewhere(self, known: Collection[str], made_with: MadeWith) -> PackedRecords:
        """Returns finished cases of earlier runs whose CTs are not in this run's input.

        Args:
            known: ids of this run's cases, which are left out.
            made_with: bundle and options; cases made otherwise are left out, results of different models never mix.
        """
        found = PackedRecords()
        for path in sorted(self.record_path("any").parent.glob("*.json")):
            record = None if path.stem in known else self._whole_record(path)
            if record is not None and record.made_with is not None:
                if record.made_with.without_input() == made_with.without_input():
                    found[record.case_id] = record
                else:
                    logger.warning("case '%s' was made with another bundle or options: not in the tables", path.stem)
        return found

    def _whole_record(self, path: Path) -> CaseRecord | None:
        """Returns a case's record if it is done and its maps are there."""
        try:
            record = CaseRecord.model_validate(read_json(path))
        except (RequestError, ValidationError):
            return None
        there = all((self.folder / name).is_file() for name in self.files_of(record))
        return record if record.status == "done" and there else None

    def files_of(self, record: CaseRecord) -> list[str]:
        """Returns the maps and DICOM files that a finished case's record speaks of, relative to the folder."""
        maps = [self.detection_path(record.case_id)]
        if record.made_with is None or record.made_with.segmentations:
            maps.append(self.segmentation_path(record.case_id))
        if record.evidence is not None:
            maps.append(self.evidence_path(record.case_id))
        maps += [self.class_detection_path(record.case_id, name) for name in _classes_with_maps(record)]
        return [*(path.relative_to(self.folder).as_posix() for path in maps), *record.dicom]

    def report_files(self, case_id: str) -> tuple[Path, ...]:
        """Returns where the page and the pictures of a case lie in the report, whether or not they are there."""
        return self.case_page_path(case_id), self.picture_path(case_id), self.evidence_picture_path(case_id)

    def clear_case(self, case_id: str) -> None:
        """Removes what an earlier run left of a case, its record first."""
        self.record_path(case_id).unlink(missing_ok=True)
        by_class = self.class_maps_folder.iterdir() if self.class_maps_folder.is_dir() else ()
        for folder in (*self.maps_folders, *by_class, self.evidence_folder):
            for image_format in FORMATS:
                (folder / f"{case_id}.{image_format}").unlink(missing_ok=True)
        for path in self.report_files(case_id):
            path.unlink(missing_ok=True)
        for name in DICOM_FILES:
            (self.dicom_folder(case_id) / name).unlink(missing_ok=True)

    def remove_tables(self) -> None:
        """Removes what speaks of all cases, before one of them changes; `run.json` is written anew by the caller.

        Raises:
            OutputError: it cannot be removed.
        """
        for path in (self.folder / "results.csv", self.measurements_path, self.report_folder / "index.html"):
            with writing(path):
                path.unlink(missing_ok=True)

    def write_maps(self, case_id: str, result: CaseResult) -> None:
        """Writes the detection map, those of lesion classes, segmentation and evidence, where there are such."""
        write(result.detection_inset(), self.detection_path(case_id))
        evidence = result.evidence_inset()
        if evidence is not None:
            write(evidence, self.evidence_path(case_id))
        for name, inset in result.class_detection_insets().items():
            write(inset, self.class_detection_path(case_id, name))
        segmentation = result.segmentation_inset()
        if segmentation is not None:
            write(segmentation, self.segmentation_path(case_id))

    def write_labels(self, labels: Mapping[str, int] | None) -> None:
        """Writes the label description files of the segmentations, for viewers; None: there are no segmentations."""
        if labels is not None:
            write_label_files(self.maps_folders[1], labels)
            return
        with writing(self.maps_folders[1]):
            remove_label_files(self.maps_folders[1])

    def write_record(self, record: CaseRecord) -> None:
        """Writes `cases/CASE.json`."""
        write_json(self.record_path(record.case_id), record.model_dump(mode="json"))

    def write_run(self, record: RunRecord) -> None:
        """Writes `run.json`."""
        write_json(self.folder / "run.json", record.model_dump(mode="json"))

    def write_results(
        self, records: Sequence[CaseRecord], class_names: Sequence[str], with_probability: Sequence[str] | None = None
    ) -> None:
        """Writes `results.csv`, one row a case; arguments: `results_csv`."""
        write_text(self.folder / "results.csv", results_csv(records, class_names, with_probability))


def results_csv(
    records: Sequence[CaseRecord], class_names: Sequence[str], with_probability: Sequence[str] | None = None
) -> str:
    """Returns the table of results; numbers are written in full, so that ranking by them loses nothing.

    With two classes their scores are `score` and the rest to 1; with more, the table has each class's score, the class
    of the highest, and the maximum of each lesion class's own detection map where there are such.

    Args:
        records: the cases.
        class_names: patient-level classes.
        with_probability: those that a classifier gives a probability; None for all.
    """
    with_probability = class_names if with_probability is None else with_probability
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    several = class_names if len(class_names) > 2 else ()
    own = [name for name in several if any(name in _classes_with_maps(record) for record in records)]
    header = [f"p_{name}" for name in with_probability] + [f"score_{name}" for name in several]
    header += ["label"] * bool(several) + [f"{_MAXIMUM}{name}" for name in own]
    table.writerow((*CSV_FIXED_BEFORE, *header, *CSV_FIXED_AFTER))
    for record in records:
        terms = record.fusion.terms if record.fusion is not None else {}
        done = record.status == "done"
        table.writerow(
            (
                record.case_id,
                record.status,
                "" if record.score is None else repr(record.score),
                *(repr(record.classes[name]) if name in record.classes else "" for name in with_probability),
                *(repr(record.scores[name]) if name in record.scores else "" for name in several),
                *([record.label or ""] if several else ()),
                *(repr(terms[f"{_MAXIMUM}{name}"]) if f"{_MAXIMUM}{name}" in terms else "" for name in own),
                "" if record.detection_max is None else repr(record.detection_max),
                len(record.candidates) if done else "",
                FLAG_SEPARATOR.join(record.flags),
                f"{record.total_seconds:.2f}" if record.seconds else "",
            )
        )
    return buffer.getvalue()


def _classes_with_maps(record: CaseRecord) -> list[str]:
    """Returns the lesion classes that have a detection map of their own."""
    terms = record.fusion.terms if record.fusion is not None and record.fusion.lesion_maps == "by_class" else {}
    return [key.removeprefix(_MAXIMUM) for key in terms if key.startswith(_MAXIMUM)]

"""The output folder of `pipeline run`: what lies where, which cases are finished, and writing without half files.

A case's `cases/CASE.json` is removed before anything else of the case is written and appears after everything else:
whenever it is there, the files it speaks of are there and complete. So it is with the tables, which speak of all cases.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ctcore.case_names import is_text
from ctcore.durable import is_writable, remove_partials, write_text, writing
from ctcore.errors import RequestError
from ctcore.files import CaseFile, write
from ctcore.json_files import json_text, write_json
from ctcore.lock import FolderLock, locked
from ctcore.object_store import Place
from pipeline.case import CaseResult
from pipeline.label_files import remove_label_files, write_label_files
from pipeline.output_paths import OutputPaths
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord, ImageFormat, MadeWith
from pipeline.results_table import classes_with_maps, results_csv
from pipeline.run_record import RunRecord

logger = logging.getLogger(__name__)


class OutputFolder(OutputPaths):
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
        super().__init__(folder, image_format)
        self._lock: FolderLock | None = None

    @property
    def place(self) -> Place:
        """Where results go, for whoever has to find it: another process, or a reader."""
        return self.folder

    def shown(self, path: Path) -> str:
        """Returns where a reader finds one of the files."""
        return str(path)

    def writes_maps_into(self, place: Place) -> bool:
        """Tells whether a folder is one of the output's own folders of maps."""
        own = [maps.resolve() for maps in self.all_maps_folders]
        return isinstance(place, Path) and bool({place.resolve(), place.resolve().parent} & set(own))

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

    def has(self, name: str) -> bool:
        """Tells whether a file is there.

        Args:
            name: relative to the folder.
        """
        return (self.folder / name).is_file()

    @contextlib.contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[None]:
        """Has files on this machine's disk for the length of a block.

        Args:
            names: relative to the folder.
        """
        del names
        yield

    def with_page(self, case_ids: Iterable[str]) -> set[str]:
        """Returns those cases that have a page in the report."""
        return {case_id for case_id in case_ids if self.case_page_path(case_id).is_file()}

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
            record = CaseRecord.read(path)
        except RequestError:
            return None
        there = all(self.has(name) for name in self.files_of(record))
        return record if record.status == "done" and there else None

    def files_of(self, record: CaseRecord) -> list[str]:
        """Returns the maps and DICOM files that a finished case's record speaks of, relative to the folder."""
        maps = [self.detection_path(record.case_id)]
        if record.made_with is None or record.made_with.segmentations:
            maps.append(self.segmentation_path(record.case_id))
        if record.evidence is not None:
            maps.append(self.evidence_path(record.case_id))
        maps += [self.class_detection_path(record.case_id, name) for name in classes_with_maps(record)]
        return [*map(self.name_of, maps), *record.dicom]

    def clear_case(self, case_id: str) -> None:
        """Removes what an earlier run left of a case, its record first."""
        for path in self.possible_files(case_id):
            path.unlink(missing_ok=True)

    def remove_tables(self) -> None:
        """Removes what speaks of all cases, before one of them changes; `run.json` is written anew by the caller.

        Raises:
            OutputError: it cannot be removed.
        """
        for path in self.tables:
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

    def keep(self, case_id: str) -> None:
        """Makes last what was put into the folder of a case, its record included; here it does already."""

    def write_text(self, path: Path, text: str) -> None:
        """Writes what speaks of all cases: a table or a page."""
        write_text(path, text)

    def write_run(self, record: RunRecord) -> None:
        """Writes `run.json`."""
        self.write_text(self.run_path, json_text(record.model_dump(mode="json")))

    def write_results(
        self, records: Sequence[CaseRecord], class_names: Sequence[str], with_probability: Sequence[str] | None = None
    ) -> None:
        """Writes `results.csv`, one row a case; arguments: `results_csv`."""
        self.write_text(self.results_path, results_csv(records, class_names, with_probability))

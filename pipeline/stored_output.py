"""The output of `pipeline run` on object storage: the same files, made in a scratch folder and copied when whole.

What `pipeline.outputs` says of records holds here as well: a case's record is removed before anything else of the case
and copied after everything else. What is made of a case leaves the scratch folder when its record is there.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ctcore.durable import PARTIAL_PREFIX
from ctcore.errors import RequestError, UnreadableImageError, first_line
from ctcore.lease import Lease, leased
from ctcore.object_store import ObjectFolder, Place
from ctcore.scratch import remove_abandoned, scratch_folder
from pipeline.label_files import LABEL_FILES
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, ImageFormat

LOG_SECONDS = 10.0
LOG_BYTES = 1 << 20
"""A log that is larger is copied after failures no more often than this, and at the end."""

logger = logging.getLogger(__name__)


class StoredOutput(OutputFolder):
    """An output folder on object storage; paths are those of its files in a scratch folder.

    Args:
        store: where results go.
        scratch: for files on their way there and back.
        image_format: file format of the maps.
        of_worker: whether this is one of several processes that write there, each with a log of its own.
    """

    def __init__(
        self, store: ObjectFolder, scratch: Path, image_format: ImageFormat = "nii.gz", *, of_worker: bool = False
    ) -> None:
        super().__init__(scratch, image_format)
        self._store, self._of_worker = store, of_worker
        self._lease: Lease | None = None
        self._there: set[str] | None = None
        self._earlier_log, self._log_copied = b"", 0.0
        for name in (store / self.name_of(self.class_maps_folder)).entries(there=False)[1]:
            (self.class_maps_folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def place(self) -> Place:
        """Where results go, for whoever has to find it: another process, or a reader."""
        return self._store

    @property
    def log_path(self) -> Path:
        """The run's log, or this worker's."""
        name = f"run.{platform.node()}.{multiprocessing.current_process().pid}.log"
        return self.folder / name if self._of_worker else super().log_path

    def shown(self, path: Path) -> str:
        """Returns where a reader finds one of the files."""
        return str(self._store / self.name_of(path))

    def writes_maps_into(self, place: Place) -> bool:
        """Tells whether a folder is one of the output's own folders of maps."""
        own = [self._store / self.name_of(maps) for maps in self.all_maps_folders]
        return isinstance(place, ObjectFolder) and bool({place, place.parent} & set(own))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands out of the folder for the length of a block; brings the records of earlier ones here.

        Raises:
            FolderInUseError: another command writes into it.
            RequestError: records cannot be read.
        """
        with leased(self._store) as lease:
            try:
                self._begin()
                self._lease = lease
                yield
            finally:
                self._lease = None
                self._copy_log()

    def _begin(self) -> None:
        """Brings here what earlier commands have left: records, the log, the names of all else."""
        self._there = self._store.names()
        self._store.remove([name for name in self._there if name.startswith(PARTIAL_PREFIX)])
        records = self.name_of(self.record_path("any").parent) + "/"
        try:
            self._store.fetch_all((name for name in self._there if name.startswith(records)), self.folder)
        except UnreadableImageError as error:
            raise RequestError(f"output '{self._store}': {first_line(error)}") from error
        self._earlier_log = self._store.read(self.name_of(self.log_path)) or b""

    def remove_partials(self) -> None:
        """Does nothing: objects are there as a whole or not at all, and scratch folders go with their processes."""

    def check(self) -> None:
        """Refuses to go on where the folder is no longer this command's.

        Raises:
            OutputGoneError: the lease was lost.
        """
        if self._lease is not None:
            self._lease.check()

    def has(self, name: str) -> bool:
        """Tells whether a file was there when the folder was locked, or asked for the first time.

        Args:
            name: relative to the folder.
        """
        if self._there is None:
            self._there = self._store.names()
        return name in self._there

    def with_page(self, case_ids: Iterable[str]) -> set[str]:
        """Returns those cases that have a page in the report, whoever has copied it."""
        names = (self._store / self.name_of(self.case_page_path("any").parent)).names()
        return {case_id for case_id in case_ids if f"{case_id}.html" in names}

    @contextlib.contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[None]:
        """Has files in the scratch folder for the length of a block.

        Raises:
            UnreadableImageError: one is not there, or cannot be read.
        """
        try:
            self._store.fetch_all(names, self.folder)
            yield
        finally:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)

    def clear_case(self, case_id: str) -> None:
        """Removes what an earlier run left of a case, its record first."""
        record, *rest = (self.name_of(path) for path in self.possible_files(case_id))
        super().clear_case(case_id)
        self._store.remove([record])
        self._store.remove(rest)

    def remove_tables(self) -> None:
        """Removes what speaks of all cases, before one of them changes; `run.json` is written anew by the caller."""
        super().remove_tables()
        self._store.remove([self.name_of(path) for path in self.tables])

    def write_record(self, record: CaseRecord) -> None:
        """Writes `cases/CASE.json` after all else that was made of the case.

        Raises:
            OutputError: something cannot be copied; then there is no record.
        """
        super().write_record(record)
        self.keep(record.case_id)
        if record.status == "failed":
            self._copy_log(seldom=True)

    def keep(self, case_id: str) -> None:
        """Copies what was made of a case, its record last, and removes it from the scratch folder."""
        record, *rest = self.possible_files(case_id)
        try:
            self._store.store_all(self.folder, [self.name_of(path) for path in rest if path.is_file()])
            self._store.store(record, self.name_of(record))
        finally:
            super().clear_case(case_id)

    def write_labels(self, labels: Mapping[str, int] | None) -> None:
        """Writes the label description files of the segmentations, for viewers; None: there are no segmentations."""
        super().write_labels(labels)
        names = [self.name_of(self.maps_folders[1] / name) for name in LABEL_FILES]
        if labels is None:
            self._store.remove(names)
        else:
            self._store.store_all(self.folder, names)

    def write_text(self, path: Path, text: str) -> None:
        """Writes what speaks of all cases: a table or a page."""
        super().write_text(path, text)
        self._store.store(path, self.name_of(path))

    def _copy_log(self, *, seldom: bool = False) -> None:
        """Copies the log, which has grown; where that cannot be done, the next time may be better."""
        path, now = self.log_path, time.monotonic()
        late = now - self._log_copied > LOG_SECONDS
        if not path.is_file() or (seldom and not late and path.stat().st_size > LOG_BYTES):
            return
        self._log_copied = now
        try:
            self._store.write(self.name_of(path), self._earlier_log + path.read_bytes())
        except OSError as error:
            logger.warning("the log cannot be copied: %s", first_line(error))


@contextlib.contextmanager
def opened_output(
    place: Place, image_format: ImageFormat = "nii.gz", *, of_worker: bool = False
) -> Iterator[OutputFolder]:
    """Opens an output folder on a disk or on object storage for the length of a block.

    Args:
        place: the folder.
        image_format: file format of the maps.
        of_worker: whether this is one of several processes that write there.

    Raises:
        RequestError: it is none, or cannot be written.
    """
    if isinstance(place, ObjectFolder):
        place.now()  # says why where it cannot be written
    with opened_to_read(place, image_format, of_worker=of_worker) as output:
        yield output


@contextlib.contextmanager
def opened_to_read(
    place: Place, image_format: ImageFormat = "nii.gz", *, of_worker: bool = False
) -> Iterator[OutputFolder]:
    """Opens an output folder that is not written to, for the length of a block; arguments: `opened_output`.

    Raises:
        RequestError: it is none, or cannot be read.
    """
    if isinstance(place, Path):
        yield OutputFolder(place, image_format)
        return
    remove_abandoned()
    with scratch_folder() as scratch:
        yield StoredOutput(place, scratch / "output", image_format, of_worker=of_worker)
    remove_abandoned()  # of workers, which are killed

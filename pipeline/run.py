"""A cohort: every case of a folder through models that are loaded once; reading, compute and writing overlap."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.cts import DicomCase, FoundCts, find_cts
from ctcore.errors import CaseError, RequestError
from ctcore.files import CaseFile
from ctcore.inference.one_thread import one_thread
from ctcore.object_store import Place
from pipeline.budget import Chooser
from pipeline.case_runner import RunContext
from pipeline.executors.work import Executor, Work, in_this_process
from pipeline.memory import resident
from pipeline.observer import RunObserver, SilentObserver
from pipeline.outputs import OutputFolder
from pipeline.packed_records import PackedRecords
from pipeline.records import CaseRecord, RunOptions
from pipeline.shards import Shard
from pipeline.tables import RunTables

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from pipeline.bundle import Bundle
    from pipeline.stages import Stages


@dataclass(frozen=True)
class RunSummary:
    """What a run has come to.

    Attributes:
        records: every case of the input that was reached, by case id; unpacked whenever one is asked for.
        reused: ids of cases whose earlier result was kept.
        complete: whether every case was reached.
    """

    records: Sequence[CaseRecord]
    reused: frozenset[str]
    complete: bool

    @property
    def failed(self) -> tuple[CaseRecord, ...]:
        """The cases that could not be used."""
        return tuple(record for record in self.records if record.status == "failed")


def run_cohort(
    input_path: Place,
    output: OutputFolder,
    bundle: Bundle,
    execution: Execution,
    options: RunOptions,
    *,
    load: Callable[[], Stages],
    observer: RunObserver | None = None,
    chooser: Chooser | None = None,
    found: FoundCts | None = None,
    executor: Executor = in_this_process,
    shard: Shard | None = None,
) -> RunSummary:
    """Runs every case of a folder, or the case of a file, and writes all outputs.

    A case that cannot be used ends as `failed`; the others go on. Finished cases are kept unless `options.overwrite`.
    The tables (`run.json`, `results.csv`) and the report speak of the cases of this input and of those that earlier
    runs with the same bundle and options have finished in this output, so that a cohort can grow. On an interruption
    (KeyboardInterrupt) they are written for the cases that have ended before it goes on its way.

    Args:
        input_path: folder of CTs (image files or DICOM series) or one CT, on a disk or object storage.
        output: where results go.
        bundle: the verified bundle.
        execution: device, backend and precision.
        options: choices of the run.
        load: loads both stages; called once, and not at all if every case is finished.
        observer: told how the run goes.
        chooser: chooses what is computed of each case; None: by the options' budget of time and memory.
        found: the input's CTs, where they were found already.
        executor: where cases are computed.
        shard: the share of the cases that are run; None: all.

    Raises:
        RequestError: as `check_options`; the input does not exist or holds no image, or is one of the output's own
            folders of maps; another command writes into the output; DICOM output is asked for and no case comes as
            DICOM; or the networks alone take the memory allowed.
        OutputError: a table cannot be written; the cases are.
        OutputGoneError: the output was removed or replaced meanwhile.
        Exception: whatever `load` raises.
    """
    check_options(options, bundle)
    run = _Run(
        input_path,
        output,
        bundle,
        execution,
        options,
        found or find_cts(input_path, options.case_id_tag),
        observer or SilentObserver(),
        chooser,
        executor,
        shard,
    )
    with output.locked(), one_thread(execution.backend) if options.deterministic else contextlib.nullcontext():
        return run.run(load)


def check_options(options: RunOptions, bundle: Bundle) -> None:
    """Refuses options that need something which the bundle or the system does not have.

    Raises:
        RequestError: early exit is asked for, and the bundle has no operating point; time is limited, and it has no
            table of efforts; memory is limited, and the system does not tell how much is used; DICOM output is asked
            for, and highdicom is not installed; evidence is asked for, and the bundle has no classifier or time or
            memory is limited; or a deterministic run is asked for together with what never is.
    """
    if options.deterministic:
        asked = {"--max-seconds": options.max_seconds, "--max-ram": options.max_ram}
        limits = [name for name, value in asked.items() if value is not None]
        if limits or options.dicom_output:
            why = "chooses by what the machine is doing" if limits else "makes identifiers and dates of its own"
            raise RequestError(f"{(limits or ['--dicom-output'])[0]} {why}; leave it or --deterministic out")
    if options.evidence:
        _check_evidence(options, bundle)
    if options.early_exit and not bundle.manifest.thresholds:
        raise RequestError(
            f"bundle '{bundle.folder}' has no operating point, which early exit decides by; add one with"
            " 'pipeline bundle calibrate', or leave --early-exit out"
        )
    if options.max_seconds is not None and not bundle.manifest.efforts:
        raise RequestError(
            f"bundle '{bundle.folder}' does not say what less effort costs, which --max-seconds chooses by; measure it"
            " with 'pipeline bundle measure-efforts'"
        )
    if options.max_ram is not None:
        resident()
    if options.dicom_output and importlib.util.find_spec("highdicom") is None:
        raise RequestError(
            "DICOM output needs highdicom; install it with: pip install 'ct-lesion-pipeline[dicom]', or leave"
            " --dicom-output out"
        )


def _check_evidence(options: RunOptions, bundle: Bundle) -> None:
    """Refuses evidence where there is none to be had, or where what it takes would not be counted."""
    if not bundle.manifest.classifier:
        raise RequestError(
            f"bundle '{bundle.folder}' has no classifier, whose evidence --evidence maps; leave --evidence out"
        )
    limits = {"--max-seconds": options.max_seconds, "--max-ram": options.max_ram}
    for name, value in limits.items():
        if value is not None:
            raise RequestError(f"--evidence takes time and memory that {name} does not count; leave one of them out")


class _Run:
    """State of one cohort run: see `run_cohort`."""

    def __init__(
        self,
        input_path: Place,
        output: OutputFolder,
        bundle: Bundle,
        execution: Execution,
        options: RunOptions,
        found: FoundCts,
        observer: RunObserver,
        chooser: Chooser | None,
        executor: Executor,
        shard: Shard | None,
    ) -> None:
        self._input, self._output = input_path, output
        self._options, self._observer = options, observer
        self._chooser, self._executor = chooser, executor
        self._context = RunContext(output, bundle, execution, options)
        self._records = PackedRecords()
        self._reused: set[str] = set()
        found, share = (found, None) if shard is None else shard.part(found)
        self._tables = RunTables(output, bundle, execution, options, input_path, found, share)
        self._cases = found.cases

    def run(self, load: Callable[[], Stages]) -> RunSummary:
        """Runs the cohort."""
        cases = self._cases
        if self._options.dicom_output and not any(isinstance(case, DicomCase) for case in cases):
            raise RequestError(
                f"DICOM output refers to the DICOM series it comes from, '{self._input}' holds none;"
                " leave --dicom-output out"
            )
        one = isinstance(self._input, Path) and not self._input.is_dir()
        if self._output.writes_maps_into(self._input.parent if one else self._input):
            raise RequestError(f"input '{self._input}' lies where this run would write its maps; give another --output")
        pending = [case for case in cases if not self._reuse(case)]
        self._tables.elsewhere = self._output.finished_elsewhere(
            {case.case_id for case in cases}, self._context.made_with
        )
        self._observer.started(len(pending), len(self._reused))
        try:
            loading = self._compute(pending, load) if pending else 0.0
        except KeyboardInterrupt:
            if self._records:
                self._write_tables(0.0)
            raise
        self._write_tables(loading)
        return RunSummary(self._records.in_order(), frozenset(self._reused), self._complete)

    def _reuse(self, case: CaseFile) -> bool:
        """Keeps the result of an earlier run if it is finished; tells whether it is."""
        if self._options.overwrite:
            return False
        try:
            record = self._output.finished(case, self._context.made_with.of_input(case))
        except (OSError, CaseError):  # gone or unreadable since it was found: its reading will say why
            return False
        if record is None:
            return False
        self._records[case.case_id] = record
        self._reused.add(case.case_id)
        return True

    def _compute(self, cases: list[CaseFile], load: Callable[[], Stages]) -> float:
        """Runs the cases; returns the time of loading."""
        work = Work(self._context, load, self._take_back, self._settle, self._observer, self._chooser)
        return self._executor(cases, work)

    def _take_back(self) -> None:
        """Takes back what an earlier run has said of all cases."""
        self._tables.take_back(self._records)

    def _settle(self, record: CaseRecord) -> None:
        """Keeps the record of a case that has ended."""
        self._records[record.case_id] = record
        self._observer.finished(record)

    @property
    def _complete(self) -> bool:
        return len(self._records) == len(self._cases)

    def _write_tables(self, loading: float) -> None:
        computed = self._records.keys() - self._reused
        self._tables.write(self._records, computed, complete=self._complete, loading=loading)

"""Cases from their CT to their files, by networks that are loaded once; reading, compute and writing overlap."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctcore.cts import read_case
from ctcore.errors import UnreadableImageError
from ctcore.files import CaseFile
from pipeline.budget import Budget, Chooser
from pipeline.case import CaseResult, process_case
from pipeline.case_writer import CaseWriter, Progressing
from pipeline.memory import check_ct
from pipeline.observer import RunObserver
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, MadeWith, RunOptions

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from ctcore.volume import Volume
    from pipeline.bundle import Bundle
    from pipeline.stages import Stages


@dataclass(frozen=True)
class RunContext:
    """What is the same for all cases of a run.

    Attributes:
        output: where results go.
        bundle: the verified bundle.
        execution: device, backend and precision.
        options: choices of the run.
    """

    output: OutputFolder
    bundle: Bundle
    execution: Execution
    options: RunOptions

    @property
    def made_with(self) -> MadeWith:
        """What decides the results, of no CT in particular."""
        execution, options = self.execution, self.options
        return MadeWith(
            bundle=self.bundle.digest,
            device=execution.device,
            backend=execution.backend,
            precision=execution.precision,
            folds=options.folds,
            tta=options.tta,
            windows=options.windows,
            early_exit=options.early_exit,
            max_seconds=options.max_seconds,
            max_ram=options.max_ram,
            format=options.format,
            segmentations=options.segmentations,
            evidence=options.evidence,
            dicom_output=options.dicom_output,
            deterministic=options.deterministic,
        )

    def writer(self) -> CaseWriter:
        """Returns what writes its cases."""
        options = self.options
        timed = not options.deterministic
        return CaseWriter(self.output, self.bundle, report=options.report, dicom=options.dicom_output, timed=timed)


class CaseRunner:
    """Runs cases, one after the other.

    Args:
        context: what is the same for all.
        observer: told which case is in which phase.
        chooser: chooses what is computed of each case; None: by the options' budget of time and memory.
        before_writing: called before anything of a case is written; a case fails where it raises.
    """

    def __init__(
        self,
        context: RunContext,
        observer: RunObserver,
        *,
        chooser: Chooser | None = None,
        before_writing: Callable[[], None] = lambda: None,
    ) -> None:
        options = context.options
        self._context, self._options, self._observer = context, options, observer
        self._budget = Budget(
            options.max_seconds, options.max_ram, context.bundle.manifest.efforts, apart=options.early_exit
        )
        self._chooser = chooser or self._budget
        self._before_writing = before_writing
        self._writer, self._made_with = context.writer(), context.made_with
        self._stages: Stages | None = None

    def load(self, load: Callable[[], Stages]) -> None:
        """Loads the networks.

        Raises:
            RequestError: the networks alone take the memory allowed.
            Exception: whatever `load` raises.
        """
        self._stages = load()
        self._budget.prepare(self._stages.predictor)

    def run_all(
        self, cases: Sequence[CaseFile], load: Callable[[], Stages], finished: Callable[[CaseRecord], None]
    ) -> float:
        """Loads the networks and runs cases; one is read and one is written while one is computed.

        Where memory is limited, one case at a time is all there is.

        Args:
            cases: one at least.
            load: loads both stages.
            finished: told of every case that has ended, an interruption's last one too.

        Returns:
            Seconds that loading took.

        Raises:
            OutputGoneError: the output was removed or replaced meanwhile.
        """
        overlap = self._options.max_ram is None
        with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
            reading: Future[tuple[Progressing, Volume | Exception]] | None = None
            with _Writing(finished) as writing:
                try:
                    if overlap:
                        reading = reader.submit(self._read, cases[0])
                    begin = time.perf_counter()
                    self.load(load)
                    loading = time.perf_counter() - begin
                    for index, case in enumerate(cases):
                        self._observer.phase(case.case_id, "read")
                        item, ct = (reading or reader.submit(self._read, case)).result()
                        more = overlap and index + 1 < len(cases)
                        reading = reader.submit(self._read, cases[index + 1]) if more else None
                        result = self._process(item, ct)
                        del ct
                        writing.settle()
                        self._context.output.check()
                        writing.begin(writer.submit(self._write, item, result))
                        del result
                        if not overlap:
                            writing.settle()
                finally:
                    reader.shutdown(wait=False, cancel_futures=True)
        return loading

    def run(self, case: CaseFile) -> CaseRecord:
        """Runs one case with the networks that were loaded.

        Raises:
            OutputGoneError: the output was removed or replaced meanwhile.
        """
        self._observer.phase(case.case_id, "read")
        item, ct = self._read(case)
        result = self._process(item, ct)
        del ct
        self._context.output.check()
        return self._write(item, result)

    def _read(self, case: CaseFile) -> tuple[Progressing, Volume | Exception]:
        """Reads a CT (in the reading thread)."""
        made_with, max_ram = self._made_with, self._options.max_ram
        item = Progressing(case, made_with)
        try:
            item.made_with = made_with.of_input(case)
            with item.clock.phase("read"), case.at_hand() as local:
                if max_ram is not None:
                    check_ct(local, max_ram)
                ct = read_case(local)
            if made_with.of_input(case) != item.made_with:
                raise UnreadableImageError(f"'{case.image}' changed while it was read; run again when it is complete")
            return item, ct
        except Exception as error:  # whatever it is, it is this case's alone
            return item, error

    def _process(self, item: Progressing, ct: Volume | Exception) -> CaseResult | Exception:
        """Computes a case, or passes on why it could not be read."""
        if isinstance(ct, Exception):
            return ct
        if self._stages is None:
            raise ValueError("the networks are not loaded")
        item.clock.on_phase = lambda phase: self._observer.phase(item.case.case_id, phase)
        try:
            return process_case(
                ct,
                self._stages,
                self._context.bundle,
                item.clock,
                early_exit=self._options.early_exit,
                chooser=self._chooser,
                segmentations=self._options.segmentations,
                evidence=self._options.evidence,
                case_id=item.case.case_id,
            )
        except Exception as error:  # whatever it is, it is this case's alone
            return error
        finally:
            item.clock.on_phase = None  # what follows happens in the writing thread

    def _write(self, item: Progressing, result: CaseResult | Exception) -> CaseRecord:
        """Writes everything of a case (in the writing thread), and returns its record."""
        try:
            self._before_writing()
        except Exception as error:  # a full disk: this case cannot be written either
            result = error
        record = self._writer.write(item, result)
        if record.effort is not None:
            self._budget.learn(record.effort.calls, record.seconds)
        return record


class _Writing(contextlib.AbstractContextManager["_Writing"]):
    """The case that is being written; the end of the block waits for it, however it ends."""

    def __init__(self, finished: Callable[[CaseRecord], None]) -> None:
        self._finished = finished
        self._future: Future[CaseRecord] | None = None

    def begin(self, future: Future[CaseRecord]) -> None:
        """Takes the next one."""
        self._future = future

    def settle(self) -> None:
        """Waits for it."""
        if self._future is not None:
            record = self._future.result()
            self._future = None
            self._finished(record)

    def __exit__(self, *_: object) -> None:
        self.settle()

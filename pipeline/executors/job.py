"""A run as it is sent to other processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import RequestError, first_line
from ctcore.files import CaseFile
from ctcore.inference.backends.choose import Execution, resolve
from ctcore.inference.one_thread import one_thread
from ctcore.object_store import ObjectFolder, Place
from ctcore.stored_cts import StoredCase
from ctcore.versions import versions
from pipeline.bundle import Bundle, load_bundle
from pipeline.case_runner import CaseRunner, RunContext
from pipeline.executors.work import Work
from pipeline.log import log_to
from pipeline.observer import RunObserver
from pipeline.records import RunOptions
from pipeline.stored_output import opened_output

if TYPE_CHECKING:
    from pipeline.stages import Stages


@dataclass(frozen=True)
class Job:
    """What another process has to know of a run; all of it can be sent there.

    Attributes:
        here: the folder that the command was called in, where relative paths begin.
        input: a folder of CTs, on a disk or object storage.
        output: folder of the results, likewise.
        bundle: the bundle as the sender has verified it.
        execution: device, backend and precision.
        options: choices of the run.
        load: loads both stages.
        versions: the sender's packages.
    """

    here: Path
    input: Place
    output: Place
    bundle: Bundle
    execution: Execution
    options: RunOptions
    load: Callable[[], Stages]
    versions: dict[str, str]

    @classmethod
    def of(cls, work: Work, cases: Sequence[CaseFile]) -> Job:
        """Returns the job of a run's work."""
        context = work.context
        output = context.output.place
        return cls(
            Path.cwd(),
            next((case.folder for case in cases if isinstance(case, StoredCase)), cases[0].path.parent),
            output.resolve() if isinstance(output, Path) else output,
            context.bundle,
            context.execution,
            context.options,
            work.load,
            versions(),
        )

    @contextlib.contextmanager
    def opened(self, observer: RunObserver) -> Iterator[tuple[CaseRunner, float]]:
        """Lets this process compute cases for the length of a block: the networks are loaded, the log is the run's.

        Yields:
            What runs cases, and the seconds that loading took.

        Raises:
            RequestError: this process has other versions or another processor, or does not see the same folders.
            BundleError: the bundle is not here, or is damaged.
            Exception: whatever `load` raises.
        """
        self._check_machine()
        with contextlib.ExitStack() as block:
            output = block.enter_context(opened_output(self.output, self.options.format, of_worker=True))
            context = RunContext(output, self.bundle, self.execution, self.options)
            if self._begins_here:
                block.enter_context(contextlib.chdir(self.here))
            self._check_bundle()
            if self.options.deterministic:
                block.enter_context(one_thread(self.execution.backend))
            block.enter_context(log_to(output.log_path))
            runner = CaseRunner(context, observer)
            begin = time.perf_counter()
            runner.load(self.load)
            yield runner, time.perf_counter() - begin

    def _check_machine(self) -> None:
        """Refuses to compute where results would not be the sender's, or would not reach it."""
        here = versions()
        different = [name for name, version in self.versions.items() if here.get(name) != version]
        if different:
            name = different[0]
            raise RequestError(
                f"a worker has {name} {here.get(name, 'not installed')}, the run has {self.versions[name]}; install the"
                " same versions everywhere"
            )
        folders = [("folder that the command was called in,", self.here)] if self._begins_here else []
        folders += [("input", self.here / self.input)] if isinstance(self.input, Path) else []
        folders += [("output", self.output)] if isinstance(self.output, Path) else []
        for what, folder in folders:
            if not folder.is_dir():
                raise RequestError(
                    f"a worker does not see the {what} '{folder}'; give a folder that all machines share"
                )
        try:
            if isinstance(self.input, ObjectFolder):
                self.input.itself()
            if isinstance(self.output, ObjectFolder):
                self.output.now()
        except RequestError as error:
            raise RequestError(f"on a worker's machine {first_line(error)}") from error
        chosen = self.execution
        resolve(chosen.device, chosen.backend, chosen.precision, deterministic=chosen.deterministic)

    @property
    def _begins_here(self) -> bool:
        """Whether anything is told relative to the folder that the command was called in."""
        return isinstance(self.input, Path) or not self.bundle.folder.is_absolute()

    def _check_bundle(self) -> None:
        found = load_bundle(self.bundle.folder)
        if found.digest != self.bundle.digest:
            raise RequestError(
                f"a worker has another bundle at '{self.bundle.folder}' ({found.digest[:12]}...) than the run"
                f" ({self.bundle.digest[:12]}...); copy the same bundle to every machine"
            )

"""A run as it is sent to other processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import RequestError
from ctcore.files import CaseFile
from ctcore.inference.backends.choose import Execution, resolve
from ctcore.inference.one_thread import one_thread
from ctcore.versions import versions
from pipeline.bundle import Bundle, load_bundle
from pipeline.case_runner import CaseRunner, RunContext
from pipeline.executors.work import Work
from pipeline.log import log_to
from pipeline.observer import RunObserver
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions

if TYPE_CHECKING:
    from pipeline.stages import Stages


@dataclass(frozen=True)
class Job:
    """What another process has to know of a run; all of it can be sent there.

    Attributes:
        here: the folder that the command was called in, where relative paths begin.
        input: a folder of CTs.
        output: folder of the results.
        bundle: the bundle as the sender has verified it.
        execution: device, backend and precision.
        options: choices of the run.
        load: loads both stages.
        versions: the sender's packages.
    """

    here: Path
    input: Path
    output: Path
    bundle: Bundle
    execution: Execution
    options: RunOptions
    load: Callable[[], Stages]
    versions: dict[str, str]

    @classmethod
    def of(cls, work: Work, cases: Sequence[CaseFile]) -> Job:
        """Returns the job of a run's work."""
        context = work.context
        folder = context.output.folder.resolve()
        return cls(
            Path.cwd(),
            cases[0].path.parent,
            folder,
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
        output = OutputFolder(self.output, self.options.format)
        context = RunContext(output, self.bundle, self.execution, self.options)
        with contextlib.ExitStack() as block:
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
        for what, folder in (
            ("folder that the command was called in,", self.here),
            ("input", self.here / self.input),
            ("output", self.output),
        ):
            if not folder.is_dir():
                raise RequestError(
                    f"a worker does not see the {what} '{folder}'; give a folder that all machines share"
                )
        chosen = self.execution
        resolve(chosen.device, chosen.backend, chosen.precision, deterministic=chosen.deterministic)

    def _check_bundle(self) -> None:
        found = load_bundle(self.bundle.folder)
        if found.digest != self.bundle.digest:
            raise RequestError(
                f"a worker has another bundle at '{self.bundle.folder}' ({found.digest[:12]}...) than the run"
                f" ({self.bundle.digest[:12]}...); copy the same bundle to every machine"
            )

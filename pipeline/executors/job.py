"""A run as it is sent to other processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import RequestError
from ctcore.inference.one_thread import one_thread
from pipeline.bundle import Bundle, load_bundle
from pipeline.case_runner import CaseRunner, RunContext
from pipeline.executors.work import Work
from pipeline.log import log_to
from pipeline.observer import RunObserver
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.versions import versions

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from pipeline.stages import Stages


@dataclass(frozen=True)
class Job:
    """What another process has to know of a run; all of it can be sent there.

    Attributes:
        output: folder of the results.
        bundle: the bundle as the sender has verified it.
        execution: device, backend and precision.
        options: choices of the run.
        load: loads both stages.
        versions: the sender's packages.
    """

    output: Path
    bundle: Bundle
    execution: Execution
    options: RunOptions
    load: Callable[[], Stages]
    versions: dict[str, str]

    @classmethod
    def of(cls, work: Work) -> Job:
        """Returns the job of a run's work."""
        context = work.context
        folder = context.output.folder.resolve()
        return cls(folder, context.bundle, context.execution, context.options, work.load, versions())

    @contextlib.contextmanager
    def opened(self, observer: RunObserver) -> Iterator[tuple[CaseRunner, float]]:
        """Lets this process compute cases for the length of a block: the networks are loaded, the log is the run's.

        Yields:
            What runs cases, and the seconds that loading took.

        Raises:
            RequestError: this process has other versions, or does not see the output.
            BundleError: the bundle is not here, or is damaged.
            Exception: whatever `load` raises.
        """
        self._check()
        output = OutputFolder(self.output, self.options.format)
        context = RunContext(output, self.bundle, self.execution, self.options)
        alone = one_thread(self.execution.backend) if self.options.deterministic else contextlib.nullcontext()
        with log_to(output.log_path), alone:
            runner = CaseRunner(context, observer)
            begin = time.perf_counter()
            runner.load(self.load)
            yield runner, time.perf_counter() - begin

    def _check(self) -> None:
        """Refuses to compute what would not be the sender's results."""
        here = versions()
        different = [name for name, version in self.versions.items() if here.get(name) != version]
        if different:
            name = different[0]
            raise RequestError(
                f"a worker has {name} {here.get(name, 'not installed')}, the run has {self.versions[name]}; install the"
                " same versions everywhere"
            )
        if not self.output.is_dir():
            raise RequestError(
                f"a worker does not see the output '{self.output}'; give a folder that all machines share"
            )
        found = load_bundle(self.bundle.folder)
        if found.digest != self.bundle.digest:
            raise RequestError(
                f"a worker has another bundle at '{self.bundle.folder}' ({found.digest[:12]}...) than the run"
                f" ({self.bundle.digest[:12]}...); copy the same bundle to every machine"
            )

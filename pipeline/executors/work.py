"""What is asked of an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctcore.files import CaseFile
from pipeline.budget import Chooser
from pipeline.case_runner import CaseRunner, RunContext
from pipeline.observer import RunObserver
from pipeline.records import CaseRecord

if TYPE_CHECKING:
    from pipeline.stages import Stages


@dataclass(frozen=True)
class Work:
    """The cases of a run that are to be computed.

    Attributes:
        context: what is the same for all cases.
        load: loads both stages; executors that compute elsewhere need one that can be sent there.
        before_writing: to be called before anything of a case is written.
        finished: told of every case that has ended; called from the thread that calls the executor.
        observer: told how the run goes.
        chooser: chooses what is computed of each case, where that is not left to the options' budget; for executors in
            this process alone.
    """

    context: RunContext
    load: Callable[[], Stages]
    before_writing: Callable[[], None]
    finished: Callable[[CaseRecord], None]
    observer: RunObserver
    chooser: Chooser | None = None


Executor = Callable[[Sequence[CaseFile], Work], float]
"""Computes cases, one at least, and returns the seconds that loading the networks took."""


def in_this_process(cases: Sequence[CaseFile], work: Work) -> float:
    """Computes cases one after the other in this process; one is read and one is written meanwhile."""
    runner = CaseRunner(work.context, work.observer, chooser=work.chooser, before_writing=work.before_writing)
    return runner.run_all(cases, work.load, work.finished)

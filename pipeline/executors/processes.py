"""Several processes on this machine, each with networks of its own and its share of the processor."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import TYPE_CHECKING

from ctcore.errors import PipelineError, first_line
from ctcore.files import CaseFile
from ctcore.orphans import end_with_parent
from pipeline.executors.cores import bind_to, shares_of_cores
from pipeline.executors.dispatch import SeatLostError, dispatch
from pipeline.executors.job import Job
from pipeline.executors.work import Work
from pipeline.observer import RunObserver
from pipeline.records import CaseRecord

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution

_CONTEXT = multiprocessing.get_context("forkserver")

PRELOADED = ["pipeline.executors.preloaded"]
"""What the process that workers are forked from imports: they start at once, and share its memory."""


@dataclass(frozen=True)
class _Phase:
    case_id: str
    phase: str


_VISIBLE = "CUDA_VISIBLE_DEVICES"

_Message = float | _Phase | CaseRecord | Exception
"""From a worker: seconds of loading, a case's phase, its record, or why it cannot go on."""


def in_processes(cases: Sequence[CaseFile], work: Work, *, workers: int, every_gpu: bool = True) -> float:
    """Computes cases in several processes of this machine.

    Args:
        cases: one at least.
        work: the run.
        workers: how many processes; no more than cases are started.
        every_gpu: whether a run on a GPU has its workers on all GPUs in turn, or all of them on the one that it names.

    Returns:
        Seconds that the slowest process took to load the networks.
    """
    workers = min(workers, len(cases))
    shares = shares_of_cores(workers)
    job = Job.of(work, cases)
    _CONTEXT.set_forkserver_preload([*PRELOADED, job.execution.backend])  # called as its library
    gpus = visible_gpus() if every_gpu and job.execution.device != "cpu" else []
    turns = itertools.cycle(gpus or [None])
    return dispatch(cases, work, [ProcessSeat(job, share, gpu) for share, gpu in zip(shares, turns, strict=False)])


def visible_gpus() -> list[str]:
    """Returns the names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    import torch

    named = os.environ.get(_VISIBLE)
    return [str(number) for number in range(torch.cuda.device_count())] if named is None else named.split(",")


def shared(execution: Execution, workers: int) -> Execution:
    """Returns an execution as each of several workers has it: with its share of the threads."""
    threads = execution.threads
    return execution if threads is None else replace(execution, threads=max(1, threads // workers))


class ProcessSeat:
    """A process of this machine.

    Args:
        job: the run.
        cores: which of the processor's it may use.
        gpu: the only one that it sees, which is then its `cuda:0`; None: all.
    """

    def __init__(self, job: Job, cores: frozenset[int], gpu: str | None = None) -> None:
        self._job, self._cores, self._gpu = job, cores, gpu
        self._guard = threading.Lock()
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None

    def open(self) -> float:
        """Starts the process and waits until it has loaded the networks; see `Seat`."""
        here, there = _CONTEXT.Pipe()
        # The process that forks them may be older than what this one's environment says by now.
        environment = dict(os.environ) if self._gpu is None else os.environ | {_VISIBLE: self._gpu}
        with self._guard:
            self._process = _CONTEXT.Process(
                target=serve, args=(there, self._job, self._cores, environment), daemon=True
            )
            self._process.start()
            self._connection = here
        there.close()
        message = self._receive()
        if not isinstance(message, float):
            raise TypeError(f"a worker began with {message!r}")
        return message

    def run(self, case: CaseFile, observer: RunObserver) -> CaseRecord:
        """Computes a case; see `Seat`."""
        connection = self._connection
        if connection is None:
            raise SeatLostError("it was closed")
        try:
            connection.send(case)
        except OSError as error:
            raise SeatLostError(self._how()) from error
        while not isinstance(message := self._receive(), CaseRecord):
            if isinstance(message, _Phase):
                observer.phase(message.case_id, message.phase)
        return message

    def close(self) -> None:
        """Kills the process; see `Seat`."""
        with self._guard:
            process, self._process = self._process, None
            connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.join()
        if connection is not None:
            connection.close()

    def _receive(self) -> _Message:
        connection = self._connection
        if connection is None:
            raise SeatLostError("it was closed")
        try:
            message: _Message = connection.recv()
        except (EOFError, OSError) as error:
            raise SeatLostError(self._how()) from error
        if isinstance(message, Exception):
            raise message
        return message

    def _how(self) -> str:
        """Tells how the process has ended."""
        process = self._process
        if process is None:
            return "it was closed"
        process.join(1.0)
        code = process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def serve(connection: Connection, job: Job, cores: frozenset[int], environment: dict[str, str]) -> None:
    """Computes the cases that come through a connection, until it or the process at its other end is gone."""
    bind_to(cores)
    os.environ.clear()
    os.environ.update(environment)  # nothing has asked for a GPU yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    end_with_parent()  # else two could write one case
    from threadpoolctl import threadpool_limits  # of libraries that have counted all cores when they were imported

    try:
        with threadpool_limits(len(cores) or None), job.opened(_Teller(connection)) as (runner, seconds):
            connection.send(seconds)
            while True:
                connection.send(runner.run(connection.recv()))
    except EOFError:
        return
    except Exception as error:
        connection.send(error if isinstance(error, PipelineError) else PipelineError(first_line(error)))


class _Teller:
    """Tells the other end of a connection how a case goes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def started(self, pending: int, reused: int) -> None:
        """Does nothing."""

    def phase(self, case_id: str, phase: str) -> None:
        """Tells it."""
        self._connection.send(_Phase(case_id, phase))

    def finished(self, record: CaseRecord) -> None:
        """Does nothing: the record is sent by itself."""

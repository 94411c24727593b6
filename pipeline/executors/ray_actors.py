"""Actors of a Ray cluster, each with networks of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctcore.files import CaseFile
from ctcore.ray_cluster import (
    ROOM_SECONDS,
    ActorLostError,
    AnswerNotWantedError,
    RayRequest,
    answer,
    check_ray,
    connected,
    room,
)
from pipeline.executors.cores import ClaimedCores, bind_to
from pipeline.executors.dispatch import SeatLostError, dispatch
from pipeline.executors.job import Job
from pipeline.executors.work import Work
from pipeline.observer import RunObserver, SilentObserver
from pipeline.records import CaseRecord

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution


def on_ray(cases: Sequence[CaseFile], work: Work, *, request: RayRequest) -> float:
    """Computes cases on a Ray cluster. Every machine needs the same file system, bundle and versions.

    Args:
        cases: one at least.
        work: the run.
        request: the cluster and what each worker gets of it.

    Returns:
        Seconds that the slowest worker took to load the networks.

    Raises:
        RequestError: there is no cluster at the address, it has no room for a worker, or a worker cannot compute.
    """
    with connected(request.address) as ray:
        workers = min(room(ray, request), len(cases))
        job = Job.of(work, cases)
        actor = ray.remote(CaseActor).options(
            num_cpus=request.cpus, num_gpus=request.gpus, max_restarts=0, max_task_retries=0
        )
        return dispatch(cases, work, [ActorSeat(ray, actor, job, request.cpus) for _ in range(workers)])


def resolve_there(resolve: Callable[[], Execution], request: RayRequest) -> Execution:
    """Settles what computes where the workers are: the machine that is asked may have another processor, and no GPU.

    Args:
        resolve: settles it for the machine that it is called on.
        request: the cluster and what each worker gets of it.

    Returns:
        What a worker computes with, with as many threads as it has cores.

    Raises:
        RequestError: as `connected` and `room`, or what is asked for is not to be had there.
    """
    check_ray()
    if request.address is None:
        execution = resolve()
    else:
        with connected(request.address) as ray:
            room(ray, request)
            task = ray.remote(resolve_with).options(num_cpus=request.cpus, num_gpus=request.gpus, max_retries=0)
            execution = answer(ray, task.remote(resolve), seconds=ROOM_SECONDS)
    alone = execution.threads is None or execution.deterministic
    return execution if alone else replace(execution, threads=request.cpus)


def resolve_with(resolve: Callable[[], Execution]) -> Execution:
    """Calls a function: Ray sends no partial ones by themselves."""
    return resolve()


class CaseActor:
    """What computes cases in a process of the cluster."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._runner: Any = None
        self._claimed: ClaimedCores | None = None

    def there(self) -> None:
        """Returns when it has a place."""

    def open(self, job: Job, cpus: int) -> float:
        """Loads the networks; returns the seconds that it took."""
        self._claimed = ClaimedCores(cpus)  # Ray counts cores, and tells nobody which
        bind_to(self._claimed.cores)
        self._runner, seconds = self._stack.enter_context(job.opened(SilentObserver()))
        return float(seconds)

    def run(self, case: CaseFile) -> CaseRecord:
        """Computes a case."""
        record: CaseRecord = self._runner.run(case)
        return record


class ActorSeat:
    """An actor of the cluster.

    Args:
        ray: Ray, connected.
        actor: makes one.
        job: the run.
        cpus: cores of one.
    """

    def __init__(self, ray: Any, actor: Any, job: Job, cpus: int) -> None:
        self._ray, self._new, self._job, self._cpus = ray, actor, job, cpus
        self._guard = threading.Lock()
        self._actor: Any = None

    def open(self) -> float:
        """Starts the actor and waits until it has loaded the networks; see `Seat`."""
        actor = self._new.remote()
        with self._guard:
            self._actor = actor
        self._answer(actor.there.remote(), seconds=ROOM_SECONDS)
        return float(self._answer(actor.open.remote(self._job, self._cpus)))

    def run(self, case: CaseFile, observer: RunObserver) -> CaseRecord:
        """Computes a case; see `Seat`."""
        actor = self._actor
        if actor is None:
            raise SeatLostError("it was closed")
        observer.phase(case.case_id, "compute")
        record: CaseRecord = self._answer(actor.run.remote(case))
        return record

    def close(self) -> None:
        """Kills the actor; see `Seat`."""
        with self._guard:
            actor, self._actor = self._actor, None
        if actor is not None:
            self._ray.kill(actor)

    def _answer(self, reference: Any, **options: float) -> Any:
        try:
            return answer(self._ray, reference, wanted=lambda: self._actor is not None, **options)
        except AnswerNotWantedError as error:
            raise SeatLostError("it was closed") from error
        except ActorLostError as error:
            raise SeatLostError(str(error)) from error

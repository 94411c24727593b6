"""Actors of a Ray cluster, each with networks of its own; the only importer of Ray."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.files import CaseFile
from pipeline.executors.dispatch import SeatLostError, dispatch
from pipeline.executors.job import Job
from pipeline.executors.work import Work
from pipeline.observer import RunObserver, SilentObserver
from pipeline.records import CaseRecord

OPEN_SECONDS = 600.0
"""An actor that has not loaded its networks by then has found no place in the cluster."""


POLL_SECONDS = 1.0
"""How long an actor is waited for before it is looked whether it was closed."""


@dataclass(frozen=True)
class RayRequest:
    """What is asked of a cluster.

    Attributes:
        address: of a cluster that runs, or `auto`; None: one is started on this machine for the length of the run.
        workers: how many actors; None: as many as the cluster has room for.
        cpus: cores of each.
        gpus: GPUs of each; a part of one is a fraction.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


def check_ray() -> None:
    """Refuses to go on without Ray.

    Raises:
        RequestError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise RequestError(
            "--executor ray needs Ray; install it with: pip install 'ct-lesion-pipeline[ray]', or leave --executor out"
        )


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
    check_ray()
    with _connected(request.address) as ray:
        workers = min(_room(ray, request), len(cases))
        job, slots = Job.of(work), _Slots()
        actor = ray.remote(CaseActor).options(
            num_cpus=request.cpus, num_gpus=request.gpus, max_restarts=0, max_task_retries=0
        )
        return dispatch(cases, work, [ActorSeat(ray, actor, job, slots, request.cpus) for _ in range(workers)])


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Connects to a cluster, or starts one on this machine."""
    ray: Any = importlib.import_module("ray")
    local = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"no Ray cluster answers at '{address}' ({first_line(error)}); start one with 'ray start --head', or leave"
            " --ray-address out"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _room(ray: Any, request: RayRequest) -> int:
    """Returns how many workers the cluster can hold, at most as many as are asked for."""
    there = ray.cluster_resources()
    needs = {"CPU": float(request.cpus), "GPU": request.gpus}
    room = min(int(there.get(name, 0.0) / need) for name, need in needs.items() if need)
    if room < 1:
        raise RequestError(
            f"the Ray cluster has {there.get('CPU', 0.0):g} cores and {there.get('GPU', 0.0):g} GPUs, a worker needs"
            f" {request.cpus} and {request.gpus:g}; ask for less"
        )
    return room if request.workers is None else min(room, request.workers)


class _Slots:
    """Which share of a machine's cores each actor there has; Ray counts cores, and tells nobody which."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, set[int]] = defaultdict(set)
        self._guard = threading.Lock()

    def take(self, node: str) -> int:
        """Returns the first share of a machine that is free."""
        with self._guard:
            taken = self._taken[node]
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            taken.add(slot)
            return slot

    def give_back(self, node: str, slot: int) -> None:
        """Frees a share."""
        with self._guard:
            self._taken[node].discard(slot)


class CaseActor:
    """What computes cases in a process of the cluster."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._runner: Any = None

    def node(self) -> str:
        """Returns the machine that it is on."""
        ray: Any = importlib.import_module("ray")
        return str(ray.get_runtime_context().get_node_id())

    def open(self, job: Job, slot: int, cpus: int) -> float:
        """Loads the networks; returns the seconds that it took."""
        cores = sorted(os.sched_getaffinity(0))
        share = cores[slot * cpus : (slot + 1) * cpus]
        if share:  # else the cluster was told of more cores than there are
            os.sched_setaffinity(0, share)
        self._runner, seconds = self._stack.enter_context(job.opened(SilentObserver()))
        return float(seconds)

    def run(self, case: CaseFile) -> CaseRecord:
        """Computes a case."""
        record: CaseRecord = self._runner.run(case)
        return record


class ActorSeat:
    """An actor of the cluster.

    Args:
        ray: the library, connected.
        actor: makes one.
        job: the run.
        slots: the shares of all machines' cores.
        cpus: cores of one.
    """

    def __init__(self, ray: Any, actor: Any, job: Job, slots: _Slots, cpus: int) -> None:
        self._ray, self._new, self._job, self._slots, self._cpus = ray, actor, job, slots, cpus
        self._guard = threading.Lock()
        self._actor: Any = None
        self._place: tuple[str, int] | None = None

    def open(self) -> float:
        """Starts the actor and waits until it has loaded the networks; see `Seat`."""
        actor = self._new.remote()
        with self._guard:
            self._actor = actor
        node = self._get(actor.node.remote(), OPEN_SECONDS)
        slot = self._slots.take(node)
        self._place = node, slot
        return float(self._get(actor.open.remote(self._job, slot, self._cpus)))

    def run(self, case: CaseFile, observer: RunObserver) -> CaseRecord:
        """Computes a case; see `Seat`."""
        actor = self._actor
        if actor is None:
            raise SeatLostError("it was closed")
        observer.phase(case.case_id, "compute")
        record: CaseRecord = self._get(actor.run.remote(case))
        return record

    def close(self) -> None:
        """Kills the actor; see `Seat`."""
        with self._guard:
            actor, self._actor = self._actor, None
            place, self._place = self._place, None
        if actor is not None:
            self._ray.kill(actor)
        if place is not None:
            self._slots.give_back(*place)

    def _get(self, reference: Any, seconds: float = math.inf) -> Any:
        """Returns what an actor answers; its errors are this process's.

        It is asked for again and again: the answer of an actor that was killed before it began may never come.
        """
        exceptions, end = self._ray.exceptions, time.monotonic() + seconds
        while True:
            try:
                return self._ray.get(reference, timeout=POLL_SECONDS)
            except exceptions.RayTaskError as error:
                cause = error.cause if isinstance(error.cause, Exception) else error
                raise cause if isinstance(cause, PipelineError) else PipelineError(first_line(cause)) from None
            except exceptions.GetTimeoutError as error:
                if self._actor is None:
                    raise SeatLostError("it was closed") from error
                if time.monotonic() > end:
                    raise RequestError(
                        f"the Ray cluster has found no place for a worker in {OPEN_SECONDS:g} s; ask for less, or wait"
                        " until others have ended"
                    ) from error
            except exceptions.RayError as error:  # the actor, its machine or the way to it
                raise SeatLostError(first_line(error)) from error

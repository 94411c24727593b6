"""A Ray cluster: reached, or started on this machine, and what it has room for; the only importer of Ray."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ctcore.errors import PipelineError, RequestError, first_line

ROOM_SECONDS = 600.0
"""What has no place in the cluster by then ends the run: others fill it."""
KNOCK_SECONDS = 10.0
"""How long the cluster's address may take to answer; Ray itself would ask for minutes."""
POLL_SECONDS = 1.0
"""How long an answer is waited for before it is looked whether it is still wanted."""


@dataclass(frozen=True)
class RayRequest:
    """What is asked of a cluster.

    Attributes:
        address: `HOST:PORT` of a cluster that runs, or `auto` for this machine's; None: one is started on this machine
            for the length of the run.
        workers: how many actors; None: as many as the cluster has room for.
        cpus: cores of each.
        gpus: GPUs of each; a part of one is a fraction.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class AnswerNotWantedError(Exception):
    """Whoever asked has given up meanwhile."""


class ActorLostError(Exception):
    """The actor, its machine or the way to it is gone."""


def check_ray() -> None:
    """Refuses to go on without Ray.

    Raises:
        RequestError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise RequestError(
            "--executor ray needs Ray; install it with: pip install 'ct-lesion-pipeline[ray]', or leave --executor out"
        )


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connects to a cluster, or starts one on this machine, for the length of a block.

    Yields:
        Ray.

    Raises:
        RequestError: Ray is not installed, or no cluster answers at the address.
    """
    check_ray()
    if address is not None:
        _knock(address)
    ray: Any = importlib.import_module("ray")
    local = {"include_dashboard": False} if address is None else {}
    with _own_sigterm():
        try:
            ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RequestError(_no_cluster(address, first_line(error))) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def room(ray: Any, request: RayRequest) -> int:
    """Returns how many workers the cluster can hold, at most as many as are asked for.

    Raises:
        RequestError: not one.
    """
    there = ray.cluster_resources()
    needs = {"CPU": float(request.cpus), "GPU": request.gpus}
    found = min(int(there.get(name, 0.0) / need) for name, need in needs.items() if need)
    if found < 1:
        raise RequestError(
            f"the Ray cluster has {there.get('CPU', 0.0):g} cores and {there.get('GPU', 0.0):g} GPUs, a worker needs"
            f" {request.cpus} and {request.gpus:g}; ask for less"
        )
    return found if request.workers is None else min(found, request.workers)


def answer(ray: Any, reference: Any, *, wanted: Callable[[], bool] = lambda: True, seconds: float = math.inf) -> Any:
    """Returns what the cluster answers.

    It is asked for again and again: the answer of an actor that was killed before it began may never come.

    Args:
        ray: Ray, connected.
        reference: what will be there.
        wanted: whether somebody still waits for it.
        seconds: how long it may take.

    Raises:
        ActorLostError: who was to answer is gone.
        AnswerNotWantedError: nobody waits for it any more.
        RequestError: it took too long.
        PipelineError: what was raised there.
    """
    exceptions, end = ray.exceptions, time.monotonic() + seconds
    while True:
        try:
            return ray.get(reference, timeout=POLL_SECONDS)
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause if isinstance(cause, PipelineError) else PipelineError(first_line(cause)) from None
        except exceptions.GetTimeoutError as error:
            if not wanted():
                raise AnswerNotWantedError from error
            if time.monotonic() > end:
                raise RequestError(
                    f"the Ray cluster has found no place for a worker in {seconds:g} s; ask for less, or wait until"
                    " others have ended"
                ) from error
        except exceptions.RayError as error:
            raise ActorLostError(first_line(error)) from error


def _knock(address: str) -> None:
    """Refuses an address where nothing listens."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit()) or "/" in host:
        raise RequestError(f"Ray address '{address}' is neither 'auto' nor HOST:PORT, as in 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RequestError(_no_cluster(address, first_line(error))) from error


def _no_cluster(address: str | None, why: str) -> str:
    where = "can be started on this machine" if address is None else f"answers at '{address}'"
    return f"no Ray cluster {where} ({why}); start one with 'ray start --head', or leave --ray-address out"


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps what SIGTERM means, which connecting would change."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""What is said before a cluster is reached, and what becomes of an answer that does not come."""

from __future__ import annotations

import importlib.util
import signal
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from ctcore import ray_cluster
from ctcore.errors import PipelineError, RequestError
from ctcore.ray_cluster import (
    ActorLostError,
    AnswerNotWantedError,
    RayRequest,
    answer,
    check_ray,
    connected,
    room,
)


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", ":6379", "head:port"])
def test_an_address_that_is_none_is_quoted(address: str) -> None:
    with pytest.raises(RequestError, match=rf"Ray address '{address}' is neither 'auto' nor HOST:PORT"):
        connected(address).__enter__()


def test_nobody_answers_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(RequestError, match=rf"no Ray cluster answers at '127\.0\.0\.1:{port}' .*; start one with"):
        connected(f"127.0.0.1:{port}").__enter__()
    with pytest.raises(RequestError, match=r"no Ray cluster answers at .*:99999'"):
        connected("127.0.0.1:99999").__enter__()


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"--executor ray needs Ray; install it with: pip install"):
        check_ray()


def test_rays_faults_are_one_line_and_sigterm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ConnectionError("Could not find any running Ray instance.\nSecond line")

    monkeypatch.setattr(ray_cluster, "check_ray", lambda: None)
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(init=init))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RequestError, match=r"no Ray cluster answers at 'auto' \(Could not find any running Ray inst"):
        connected("auto").__enter__()
    with pytest.raises(RequestError, match="no Ray cluster can be started on this machine"):
        connected(None).__enter__()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (RayRequest(), 24),
        (RayRequest(workers=3), 3),
        (RayRequest(workers=99), 24),
        (RayRequest(cpus=5), 4),
        (RayRequest(gpus=1.0), 2),
        (RayRequest(gpus=0.25), 8),
        (RayRequest(cpus=16, gpus=0.5), 1),
    ],
)
def test_room_is_what_cores_and_gpus_allow(request_: RayRequest, expected: int) -> None:
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 24.0, "GPU": 2.0, "memory": 1e9})
    assert room(ray, request_) == expected


def test_no_room() -> None:
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0})
    with pytest.raises(RequestError, match=r"has 2 cores and 0 GPUs, a worker needs 1 and 0\.5; ask for less"):
        room(ray, RayRequest(gpus=0.5))


class RayError(Exception):
    pass


class GetTimeoutError(RayError):
    pass


class RayTaskError(RayError):
    cause: object = None


def asked(*raised: Exception) -> Any:
    """Returns what answers "here" after it has raised all of these."""
    left = list(raised)

    def get(reference: Any, timeout: float) -> str:
        if left:
            raise left.pop(0)
        return "here"

    exceptions = SimpleNamespace(RayError=RayError, GetTimeoutError=GetTimeoutError, RayTaskError=RayTaskError)
    return SimpleNamespace(get=get, exceptions=exceptions)


def test_an_answer_is_asked_for_until_it_comes() -> None:
    assert answer(asked(GetTimeoutError(), GetTimeoutError()), "reference") == "here"


def test_an_answer_that_nobody_wants_any_more() -> None:
    with pytest.raises(AnswerNotWantedError):
        answer(asked(GetTimeoutError()), "reference", wanted=lambda: False)


def test_an_answer_that_takes_too_long() -> None:
    with pytest.raises(RequestError, match="found no place for a worker in 0 s; ask for less, or wait"):
        answer(asked(GetTimeoutError()), "reference", seconds=0)


def test_who_was_to_answer_is_gone() -> None:
    with pytest.raises(ActorLostError, match="The actor died"):
        answer(asked(RayError("The actor died\nunexpectedly")), "reference")


def test_what_was_raised_there_is_raised_here() -> None:
    own, foreign = RayTaskError("long text"), RayTaskError("long text")
    own.cause, foreign.cause = RequestError("other versions"), ValueError("what")
    with pytest.raises(RequestError, match="other versions"):
        answer(asked(own), "reference")
    with pytest.raises(PipelineError, match="what"):
        answer(asked(foreign), "reference")

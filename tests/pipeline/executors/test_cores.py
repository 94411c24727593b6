"""Cores that workers have to themselves."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.executors import cores
from pipeline.executors.cores import ClaimedCores, bind_to, shares_of_cores
from tests.apart import APART


@given(st.sets(st.integers(0, 200), min_size=1, max_size=64), st.integers(1, 80))
def test_shares_are_all_cores_once(there: set[int], workers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: there)
        shares = shares_of_cores(workers)
    assert len(shares) == workers
    assert (
        set().union(*shares) == there
        if workers >= len(there)
        else sorted(n for s in shares for n in s) == sorted(there)
    )
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def far_cores(monkeypatch: pytest.MonkeyPatch) -> range:
    """Eight cores that no other process of this machine claims, as it has not so many."""
    there = range(100_000 + os.getpid() * 10, 100_008 + os.getpid() * 10)
    monkeypatch.setattr(cores, "_cores", lambda: list(there))
    return there


def test_claims_are_of_different_cores(far_cores: range) -> None:
    claims = [ClaimedCores(3), ClaimedCores(3), ClaimedCores(2)]
    assert [claim.cores for claim in claims] == [frozenset(far_cores[a:b]) for a, b in ((0, 3), (3, 6), (6, 8))]
    claims[1].release()
    assert ClaimedCores(4).cores == frozenset()  # one too few; those that were free are free again
    assert ClaimedCores(3).cores == frozenset(far_cores[3:6])
    for claim in claims:
        claim.release()


def hold(core: int, told: Connection) -> None:
    """Claims a core for longer than the test lasts."""
    cores._cores = lambda: [core]
    claim = ClaimedCores(1)
    told.send(claim.cores)
    told.recv()


def test_a_claim_ends_with_its_process(far_cores: range) -> None:
    here, there = APART.Pipe()
    process = APART.Process(target=hold, args=(far_cores[0], there))
    process.start()
    assert here.recv() == {far_cores[0]}
    assert ClaimedCores(8).cores == frozenset()
    process.kill()
    process.join()
    assert ClaimedCores(8).cores == frozenset(far_cores)


def test_nothing_is_bound_to_no_cores() -> None:
    before = os.sched_getaffinity(0)
    bind_to(frozenset())
    assert os.sched_getaffinity(0) == before

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.flow import NETWORK, PHASES, STAGE1_NETWORK, Stopwatch
from benchmarks.our_flow import Span, StageWatch
from tests.benchmarks.flow_records import record


def test_around_the_networks_is_all_but_both() -> None:
    found = record(seconds=2.0)
    assert found.total == 18.0
    assert found.around == 14.0
    assert {NETWORK, STAGE1_NETWORK} < set(PHASES)


def test_what_making_the_given_takes_is_not_the_case_s() -> None:
    found = record(seconds=1.0, ends=(10.0, 15.0))
    assert found.beyond == 3.0  # 5 without two networks
    assert found.model_copy(update={"beside_seconds": 0.5}).beyond == 2.5


def test_cases_are_apart_by_what_one_more_takes() -> None:
    assert record(ends=(10.0, 13.0, 16.0)).seconds_apart == pytest.approx(3.0)
    assert record(ends=(10.0,)).seconds_apart is None


def test_beyond_the_networks_is_what_the_clock_says_less_both() -> None:
    assert record(seconds=1.0, ends=(10.0, 13.5)).beyond == pytest.approx(1.5)
    assert record(ends=(10.0,)).beyond is None


def test_a_phase_adds_up() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.phase("read"):
            pass
    assert watch.seconds["read"] > 0
    assert watch.seconds["write"] == 0


def test_preparing_is_what_the_first_call_took_longer() -> None:
    stage = StageWatch([Span(0.0, 5.0), Span(5.0, 6.5), Span(7.0, 8.0)])
    assert stage.preparing() == pytest.approx(4.0)
    assert stage.since(6.0) == [Span(7.0, 8.0)]
    assert StageWatch([Span(0.0, 5.0)]).preparing() is None
    assert StageWatch([Span(1.0, 5.0)], ready=[3.5]).preparing() == pytest.approx(2.5)


def test_peak_memory_is_this_process_s_own() -> None:
    code = "from benchmarks.flow import own_peak_gib; a = bytearray(2**28); print(own_peak_gib())"
    ballast = np.ones(2**27)  # 1 GiB here, which a child must not be charged with
    found = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert ballast[0]
    assert 0.25 < found < 1.0

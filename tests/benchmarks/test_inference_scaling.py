from pathlib import Path

import pytest

from benchmarks.flow import FlowRecord
from benchmarks.inference_scaling import measure_scaling, scaling_bounds, scaling_figures
from tests.benchmarks.flow_records import record


def linear(flow: str, slices: int, cases: int) -> FlowRecord:
    """A run whose cost is so much at the start, by slice and by case."""
    return record(flow, seconds=1 + slices / 100, ends=tuple(20.0 + 5 * case for case in range(cases)))


def test_linear_growth_reaches_the_bounds_and_is_drawn(tmp_path: Path) -> None:
    figures, bounds = measure_scaling(linear, "exact", tmp_path)
    assert [bound.value for bound in bounds] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert figures["seconds_by_cases"] == [20.0, 25.0, 35.0]
    assert (tmp_path / "inference_scaling.png").read_bytes().startswith(b"\x89PNG")


def test_growth_faster_than_linear_misses_them() -> None:
    by_slices = {slices: record(seconds=(slices / 100) ** 2) for slices in (100, 250, 800)}
    by_cases = {cases: record(ends=(float(cases**2),)) for cases in (1, 2, 4)}
    assert not any(bound.reached for bound in scaling_bounds(scaling_figures(by_slices, by_cases)))

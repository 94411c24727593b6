from typing import Any

import pytest

from benchmarks.inference_bounds import Request, bounds_of


def figures(**changes: Any) -> dict[str, Any]:
    """Figures that reach every bound of a CPU without bfloat16."""
    return {
        "speedup_exact": 2.5,
        "speedup_guided": 10.0,
        "peak_memory_ratio": 0.2,
        "fraction_of_matrix_peak": 0.8,
        "seconds_beyond_network": {"exact": 2.0, "guided": 1.0},
        "cold_cache_seconds": 60.0,
        "start_up_seconds": 4.0,
        "cases_a_second": 0.1,
        "peak_gib": {"ours": 3.0, "reference": 20.0},
        "precision": "fp32",
        "windows": {"reference": [1, 12], "exact": [1, 12]},
        "parity": {"max_softmax_difference": 1e-5},
    } | changes


def names(request: Request, found: dict[str, Any]) -> list[str]:
    """What is bounded."""
    return [bound.name for bound in bounds_of(request, found)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_processor_with_bfloat16_has_more_to_reach(precision: str) -> None:
    bounds = bounds_of(Request(250, "cpu", 1, False), figures(precision=precision))
    missed = {bound.name for bound in bounds if not bound.reached}
    assert missed == (set() if precision == "fp32" else {"exact windows", "anatomy-guided windows"})


def test_speed_is_bounded_for_250_slices_one_fold_no_mirrors_alone() -> None:
    for request in (Request(100, "cpu", 1, False), Request(250, "cpu", 5, False), Request(250, "cpu", 1, True)):
        assert not [name for name in names(request, figures()) if "windows, float32" in name]


def test_memory_is_compared_for_800_slices() -> None:
    assert "peak against the reference's" in names(Request(800, "cpu", 1, False), figures())
    assert "peak against the reference's" not in names(Request(250, "cpu", 1, False), figures())


def test_flows_with_other_windows_are_not_compared() -> None:
    bounds = bounds_of(Request(100, "cpu", 1, False), figures(windows={"reference": [1, 12], "exact": [1, 18]}))
    assert [bound.name for bound in bounds if not bound.reached] == ["windows of both flows equal"]

"""Calibration against slow definitions and scikit-learn."""

import importlib
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics import calibration
from ctcore.evaluation.statistics.statistic import point

metrics = importlib.import_module("sklearn.metrics")  # untyped

CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.35, 0.5, 0.7, 0.99, 1.0]), st.booleans()), min_size=1, max_size=30
)


def slow_bins(p: list[float], bins: int, binning: str) -> list[int]:
    """The bin of every case by its definition."""
    found = []
    for value in p:
        if binning == "width":
            found.append(min(sum(value >= edge / bins for edge in range(1, bins + 1)), bins - 1))
        else:
            below, equal = sum(other < value for other in p), sum(other == value for other in p)
            found.append(int(bins * (2 * below + equal) // (2 * len(p))))
    return found


@given(CASES, st.integers(1, 12), st.sampled_from(["width", "mass"]))
def test_errors_and_curves_are_those_of_loops(
    cases: list[tuple[float, bool]], bins: int, binning: Literal["width", "mass"]
) -> None:
    p, y = [value for value, _ in cases], [truth for _, truth in cases]
    curve = calibration.reliability_curve(p, y, bins=bins, binning=binning)
    bin_of, expected = slow_bins(p, bins, binning), 0.0
    for number in range(bins):
        inside = [index for index, found in enumerate(bin_of) if found == number]
        assert curve.cases[number] == len(inside)
        if not inside:
            assert np.isnan(curve.predicted[number])
            assert np.isnan(curve.observed[number])
            continue
        mean_p, mean_y = np.mean([p[i] for i in inside]), np.mean([y[i] for i in inside])
        assert curve.predicted[number] == pytest.approx(mean_p, abs=1e-12)
        assert curve.observed[number] == pytest.approx(mean_y, abs=1e-12)
        expected += len(inside) / len(p) * float(abs(mean_y - mean_p))
    made = calibration.expected_calibration_error(p, y, bins=bins, binning=binning)
    assert point(made, len(p)) == pytest.approx(expected, abs=1e-12)


@given(CASES)
def test_brier_is_scikit_learns(cases: list[tuple[float, bool]]) -> None:
    p, y = np.array([value for value, _ in cases]), np.array([truth for _, truth in cases])
    value = point(calibration.brier(p, y), len(cases))
    assert value is not None
    assert value == pytest.approx(metrics.brier_score_loss(y, p, labels=[False, True]), abs=1e-12)
    both = np.stack([1 - p, p], axis=1)
    assert point(calibration.brier_of_classes(both, y.astype(int)), len(cases)) == pytest.approx(2 * value, abs=1e-12)


def test_bins_of_equal_mass_without_ties() -> None:
    p = np.linspace(0, 1, 20)
    curve = calibration.reliability_curve(p, p > 0.5, bins=4, binning="mass")
    assert curve.cases.tolist() == [5, 5, 5, 5]
    assert curve.observed.tolist() == [0, 0, 1, 1]


def test_by_hand() -> None:
    p, y = [0.1, 0.15, 0.9, 1.0], [False, True, True, True]
    assert point(calibration.brier(p, y), 4) == pytest.approx((0.01 + 0.7225 + 0.01 + 0) / 4)
    # Bin [0.1, 0.2): mean 0.125, half are positive; bin [0.9, 1]: mean 0.95, all are.
    assert point(calibration.expected_calibration_error(p, y), 4) == pytest.approx((2 * 0.375 + 2 * 0.05) / 4)
    classes = [[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]]
    assert point(calibration.brier_of_classes(classes, [0, 1]), 2) == pytest.approx((0.09 + 0.04 + 0.01 + 2) / 2)


def test_impossible_probabilities() -> None:
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(DatasetError, match=f"{wrong} is no probability"):
            calibration.brier([0.1, wrong], [True, False])
    with pytest.raises(DatasetError, match=r"\(2,\) and truth \(1,\)"):
        calibration.reliability_curve([0.1, 0.2], [True])
    with pytest.raises(DatasetError, match="true class 2"):
        calibration.brier_of_classes([[0.5, 0.5]], [2])
    with pytest.raises(DatasetError, match=r"probabilities \(2,\) and"):
        calibration.brier_of_classes([0.5, 0.5], [1, 0])
    with pytest.raises(RequestError, match="0 bins"):
        calibration.expected_calibration_error([0.5], [True], bins=0)

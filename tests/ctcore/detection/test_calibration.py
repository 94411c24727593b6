"""Calibration by hand and against slow obvious definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ctcore.detection.calibration import (
    TEMPERATURE_RANGE,
    Calibration,
    IsotonicCurve,
    choose_operating_point,
    fit_isotonic,
    fit_temperature,
)
from ctcore.errors import DatasetError, RequestError


def test_the_temperature_that_made_the_cases_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    classes = (p.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(2.5 * logits, classes) == pytest.approx(2.5, rel=0.05)
    assert fit_temperature(0.4 * logits, classes) == pytest.approx(0.4, rel=0.05)


def test_a_constant_added_to_a_case_changes_nothing() -> None:
    logits = np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.3], [0.2, 0.0]])
    moved = logits + np.array([[5.0], [-3.0], [100.0], [0.0]])
    classes = [1, 0, 0, 1]
    assert fit_temperature(logits, classes) == pytest.approx(fit_temperature(moved, classes), rel=1e-4)


def test_temperatures_stay_within_their_range() -> None:
    assert fit_temperature([[0.0, 1.0], [1.0, 0.0]], [1, 0]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature([[0.0, 1.0], [1.0, 0.0]], [0, 1]) == pytest.approx(TEMPERATURE_RANGE[1])


def test_what_cannot_calibrate_is_refused() -> None:
    with pytest.raises(DatasetError, match="2 validation cases of one class cannot calibrate"):
        fit_temperature([[0.0, 1.0], [1.0, 0.0]], [1, 1])
    with pytest.raises(DatasetError, match="must be finite"):
        fit_temperature([[0.0, np.nan], [1.0, 0.0]], [1, 0])
    with pytest.raises(DatasetError, match="0 of 2 validation cases are positive"):
        fit_isotonic([0.1, 0.2], [False, False])
    with pytest.raises(DatasetError, match="2 of 2 validation cases are positive"):
        choose_operating_point([0.1, 0.2], [True, True], "sensitivity", 0.9)
    with pytest.raises(DatasetError, match="must be finite"):
        fit_isotonic([0.1, np.nan], [False, True])


def test_isotonic_by_hand() -> None:
    # 0.3 and 0.4 are in the wrong order and are pooled to 1/2; 0.6 occurs twice
    curve = fit_isotonic([0.1, 0.3, 0.4, 0.6, 0.6, 0.9], [False, True, False, True, False, True])
    assert [curve.probability(score) for score in (0.0, 0.1, 0.3, 0.35, 0.4, 0.6, 0.9, 1.0)] == pytest.approx(
        [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1]
    )
    assert curve.scores == (0.1, 0.3, 0.6, 0.9)
    assert curve.probability(0.2) == pytest.approx(0.25)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.8]), st.booleans()), min_size=2, max_size=30).filter(
        lambda cases: 0 < sum(positive for _, positive in cases) < len(cases)
    )
)
def test_isotonic_never_falls_and_keeps_the_mean(cases: list[tuple[float, bool]]) -> None:
    scores, positive = zip(*cases, strict=True)
    curve = fit_isotonic(scores, positive)
    fitted = [curve.probability(score) for score in scores]
    assert sum(fitted) == pytest.approx(sum(positive))
    assert all(
        a <= b + 1e-12
        for a, b in zip(sorted(fitted), [p for _, p in sorted(zip(scores, fitted, strict=True))], strict=True)
    )


@pytest.mark.parametrize(
    ("target", "value", "threshold", "sensitivity", "specificity"),
    [
        ("sensitivity", 1.0, 0.3, 1.0, 0.5),
        ("sensitivity", 0.6, 0.7, 2 / 3, 0.75),
        ("sensitivity", 0.1, 0.9, 1 / 3, 1.0),
        ("specificity", 0.5, 0.3, 1.0, 0.5),
        ("specificity", 0.7, 0.7, 2 / 3, 0.75),
        ("specificity", 1.0, 0.9, 1 / 3, 1.0),
    ],
)
def test_operating_points_by_hand(
    target: str, value: float, threshold: float, sensitivity: float, specificity: float
) -> None:
    scores = [0.3, 0.7, 0.9, 0.1, 0.2, 0.4, 0.8]
    positive = [True, True, True, False, False, False, False]
    point = choose_operating_point(scores, positive, target, value)  # type: ignore[arg-type]
    assert point.threshold == threshold
    assert (point.sensitivity, point.specificity) == pytest.approx((sensitivity, specificity))
    assert point.name == f"{target} {value:g}"


def test_a_specificity_that_no_score_reaches_lies_above_all_scores() -> None:
    point = choose_operating_point([0.2, 0.9], [True, False], "specificity", 1.0)
    assert point.threshold > 0.9
    assert (point.sensitivity, point.specificity) == (0.0, 1.0)


@pytest.mark.parametrize("value", [0.0, 1.1, float("nan")])
def test_an_impossible_target_is_refused(value: float) -> None:
    with pytest.raises(RequestError, match="not above 0 and at most 1"):
        choose_operating_point([0.2, 0.9], [True, False], "sensitivity", value)


@pytest.mark.parametrize(
    ("scores", "probabilities", "message"),
    [
        ((0.1, 0.2), (0.5,), "2 scores do not fit 1 prob"),
        ((0.2, 0.1), (0.5, 0.6), "scores must rise"),
        ((0.1, 0.2), (0.6, 0.5), "must not fall"),
        ((0.1, 0.2), (0.6, 1.5), "not within 0..1"),
    ],
)
def test_an_impossible_curve_is_refused(
    scores: tuple[float, ...], probabilities: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        IsotonicCurve(scores=scores, probabilities=probabilities)


def test_a_calibration_survives_json() -> None:
    scores, positive = [0.3, 0.7, 0.9, 0.1], [True, True, False, False]
    made = Calibration(
        cases=4,
        positive=2,
        fitted_on="four cases",
        isotonic=fit_isotonic(scores, positive),
        operating_points=(choose_operating_point(scores, positive, "sensitivity", 0.95),),
    )
    assert Calibration.model_validate_json(made.model_dump_json()) == made

"""Patient-level statistics against slow definitions and scikit-learn."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics import curves, roc
from ctcore.evaluation.statistics.statistic import point

metrics = importlib.import_module("sklearn.metrics")  # untyped

CASES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=2, max_size=25)
BOTH_CLASSES = CASES.filter(lambda cases: len({truth for _, truth in cases}) == 2)

SCORES = [0.9, 0.8, 0.8, 0.6, 0.4, 0.2]
POSITIVE = [True, True, False, False, True, False]


@given(BOTH_CLASSES)
def test_auroc_is_scikit_learns_and_the_curves_area(cases: list[tuple[float, bool]]) -> None:
    scores, positive = [score for score, _ in cases], [truth for _, truth in cases]
    area = point(roc.auroc(scores, positive), len(cases))
    assert area == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    assert area == pytest.approx(curves.auroc(scores, positive), abs=1e-12)


@given(CASES.filter(lambda cases: any(truth for _, truth in cases)))
def test_average_precision_is_scikit_learns(cases: list[tuple[float, bool]]) -> None:
    scores, positive = [score for score, _ in cases], [truth for _, truth in cases]
    expected = metrics.average_precision_score(positive, scores)
    assert point(roc.average_precision(scores, positive), len(cases)) == pytest.approx(expected, abs=1e-12)


@given(BOTH_CLASSES, st.sampled_from([0.05, 0.3, 0.5, 0.75, 0.95, 1.0]))
def test_operating_points_are_the_best_of_all_thresholds(cases: list[tuple[float, bool]], target: float) -> None:
    scores, positive = np.array([score for score, _ in cases]), np.array([truth for _, truth in cases])
    reached = [
        (float((scores[positive] >= threshold).mean()), float((scores[~positive] < threshold).mean()))
        for threshold in [*scores, np.inf]
    ]
    sensitivity = point(roc.sensitivity_at_specificity(scores, positive, target), len(cases))
    specificity = point(roc.specificity_at_sensitivity(scores, positive, target), len(cases))
    assert sensitivity == max(sens for sens, spec in reached if spec >= target)
    assert specificity == max(spec for sens, spec in reached if sens >= target)


def test_by_hand() -> None:
    # Falling thresholds call (TP, FP) = (1, 0), (2, 1), (2, 2), (3, 2), (3, 3) of 3 and 3.
    # The first positive case has precision 1, the second, tied with a negative one, 2 / 3, the third 3 / 5.
    assert point(roc.average_precision(SCORES, POSITIVE), 6) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert point(roc.average_precision([0.5, 0.1], [False, False]), 2) is None
    assert point(roc.auroc(SCORES, POSITIVE), 6) == pytest.approx((3 + 2.5 + 1) / 9)
    assert point(roc.sensitivity_at_specificity(SCORES, POSITIVE, 2 / 3), 6) == pytest.approx(2 / 3)
    assert point(roc.sensitivity_at_specificity(SCORES, POSITIVE, 0.7), 6) == pytest.approx(1 / 3)
    assert point(roc.specificity_at_sensitivity(SCORES, POSITIVE, 0.95), 6) == pytest.approx(1 / 3)
    assert point(roc.specificity_at_sensitivity(SCORES, POSITIVE, 1 / 3), 6) == 1
    assert point(roc.sensitivity(SCORES, POSITIVE, 0.8), 6) == pytest.approx(2 / 3)
    assert point(roc.specificity(SCORES, POSITIVE, 0.8), 6) == pytest.approx(2 / 3)


def test_a_target_is_reached_in_spite_of_rounding() -> None:
    scores, positive = [*np.arange(10) / 10, 0.65], [*[True] * 10, False]
    assert 0.1 + 0.2 > 3 / 10
    assert point(roc.specificity_at_sensitivity(scores, positive, 0.1 + 0.2), 11) == 1
    mirrored = [*-np.arange(10) / 10, -0.65]
    assert point(roc.sensitivity_at_specificity(mirrored, [not truth for truth in positive], 0.1 + 0.2), 11) == 1


def test_undefined_without_one_of_the_classes() -> None:
    for made in (
        roc.auroc([0.1, 0.2], [True, True]),
        roc.sensitivity_at_specificity([0.1, 0.2], [True, True], 0.9),
        roc.specificity_at_sensitivity([0.1, 0.2], [False, False], 0.9),
        roc.specificity([0.1, 0.2], [True, True], 0.15),
    ):
        assert point(made, 2) is None
    assert point(roc.sensitivity([0.1, 0.2], [True, True], 0.15), 2) == 0.5


def test_impossible_requests() -> None:
    with pytest.raises(RequestError, match="specificity 0"):
        roc.sensitivity_at_specificity(SCORES, POSITIVE, 0)
    with pytest.raises(RequestError, match=r"sensitivity 1\.2"):
        roc.specificity_at_sensitivity(SCORES, POSITIVE, 1.2)
    with pytest.raises(RequestError, match="sensitivity nan"):
        roc.specificity_at_sensitivity(SCORES, POSITIVE, float("nan"))
    with pytest.raises(DatasetError, match="score nan"):
        roc.auroc([0.1, float("nan")], [True, False])
    with pytest.raises(DatasetError, match=r"shape \(2,\) and truth of shape \(3,\)"):
        roc.auroc([0.1, 0.2], [True, False, True])

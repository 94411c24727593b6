"""Curves and areas, by hand and against slow definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.evaluation.statistics.curves import auroc, average_precision, precision_recall_curve, roc_curve

SCORES = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9])


def test_roc_by_hand() -> None:
    curve = roc_curve([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert curve is not None
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.1]
    assert curve.tpr.tolist() == [0, 0.5, 1, 1]
    assert curve.fpr.tolist() == [0, 0, 0.5, 1]
    assert curve.area == pytest.approx(0.875)  # of 4 pairs 3 are in order and 1 is tied


@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30))
def test_auroc_is_the_share_of_ordered_pairs(cases: list[tuple[float, bool]]) -> None:
    positive = [score for score, truth in cases if truth]
    negative = [score for score, truth in cases if not truth]
    area = auroc([score for score, _ in cases], [truth for _, truth in cases])
    if not positive or not negative:
        assert area is None
    else:
        pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
        assert area == pytest.approx(np.mean(pairs), abs=1e-12)


def test_average_precision_by_hand() -> None:
    # Two lesions: one hit at 0.9, one missed. Candidates: false at 0.95 and 0.5.
    findings = [(True, 0.9), (False, 0.95), (False, 0.5), (True, 0.0)]
    curve = precision_recall_curve(findings)
    assert curve is not None
    assert curve.thresholds.tolist() == [0.95, 0.9, 0.5, 0.0]
    assert curve.precision.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 0])
    assert curve.recall.tolist() == [0, 0.5, 0.5, 1]
    assert curve.area == pytest.approx(0.25)


def test_average_precision_bounds() -> None:
    assert average_precision([(True, 0.9), (True, 0.8), (False, 0.1)]) == pytest.approx(1)
    assert average_precision([(True, 0.0), (False, 0.7)]) == 0
    assert average_precision([(False, 0.7)]) is None
    assert average_precision([]) is None


@given(st.lists(st.tuples(st.booleans(), SCORES), min_size=1, max_size=30))
def test_average_precision_is_the_sum_over_thresholds(findings: list[tuple[bool, float]]) -> None:
    lesions = sum(truth for truth, _ in findings)
    area = average_precision(findings)
    if lesions == 0:
        assert area is None
        return
    expected, before = 0.0, 0
    for threshold in (0.9, 0.5, 0.2, 0.1):
        called = [truth for truth, confidence in findings if confidence >= threshold]
        if called:
            expected += (sum(called) - before) / lesions * sum(called) / len(called)
            before = sum(called)
    assert area == pytest.approx(expected, abs=1e-12)

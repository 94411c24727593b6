"""Curves and areas, by hand and against slow definitions."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics.curves import (
    auroc,
    average_precision,
    froc_curve,
    precision_recall_curve,
    roc_curve,
)

with contextlib.redirect_stdout(io.StringIO()):
    from picai_eval.metrics import Metrics as PicaiMetrics

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


def test_froc_by_hand() -> None:
    # Three lesions, one of them missed; four cases.
    findings = [(True, 0.9), (True, 0.0), (True, 0.4), (False, 0.95), (False, 0.4), (False, 0.2)]
    curve = froc_curve(findings, 4)
    assert curve is not None
    assert curve.thresholds.tolist() == [np.inf, 0.95, 0.9, 0.4, 0.2]
    assert curve.sensitivity.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 2 / 3])
    assert curve.false_positives_per_case.tolist() == [0, 0.25, 0.25, 0.5, 0.75]


def test_froc_keeps_the_lowest_threshold_that_picai_eval_loses() -> None:
    findings = [(True, 0.9), (False, 0.5), (True, 0.3)]
    curve = froc_curve(findings, 2)
    assert curve is not None
    assert curve.sensitivity.tolist() == [0, 0.5, 0.5, 1]
    assert curve.false_positives_per_case.tolist() == [0, 0, 0.5, 0.5]
    theirs = PicaiMetrics({"a": [(int(truth), c, 1.0) for truth, c in findings], "b": []})
    assert theirs.lesion_TPR.tolist() == [0.5, 0.5, 0.5]
    assert theirs.lesion_FPR.tolist() == [0, 0.5, np.inf]

    with_a_miss = [*findings, (True, 0.0)]  # now the point that they overwrite is that of the missed lesion
    ours = froc_curve(with_a_miss, 2)
    assert ours is not None
    theirs = PicaiMetrics({"a": [(int(truth), c, 1.0) for truth, c in with_a_miss], "b": []})
    assert theirs.lesion_TPR[:-1].tolist() == pytest.approx(ours.sensitivity[1:].tolist())
    assert theirs.lesion_FPR[:-1].tolist() == ours.false_positives_per_case[1:].tolist()


def test_froc_without_lesions_candidates_or_cases() -> None:
    assert froc_curve([(False, 0.3)], 2) is None
    assert froc_curve([], 0) is None
    curve = froc_curve([(True, 0.0)], 1)
    assert curve is not None
    assert curve.thresholds.tolist() == [np.inf]
    assert curve.sensitivity.tolist() == [0]
    with pytest.raises(DatasetError, match="1 findings of 0 cases"):
        froc_curve([(True, 0.3)], 0)

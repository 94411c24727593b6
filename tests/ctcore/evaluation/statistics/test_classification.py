"""Statistics of classes against scikit-learn and by hand."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics import classification
from ctcore.evaluation.statistics.statistic import point

metrics = importlib.import_module("sklearn.metrics")  # untyped

K = 4
CASES = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=30)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(CASES)
def test_equal_to_scikit_learn(cases: list[tuple[int, int]]) -> None:
    true, predicted = [t for t, _ in cases], [p for _, p in cases]
    n = len(cases)
    assert point(classification.accuracy(true, predicted, K), n) == pytest.approx(
        metrics.accuracy_score(true, predicted), abs=1e-12
    )
    assert point(classification.balanced_accuracy(true, predicted, K), n) == pytest.approx(
        metrics.balanced_accuracy_score(true, predicted), abs=1e-12
    )
    assert point(classification.macro_f1(true, predicted, K), n) == pytest.approx(
        metrics.f1_score(true, predicted, average="macro"), abs=1e-12
    )
    counts = metrics.confusion_matrix(true, predicted, labels=range(K))
    assert classification.confusion_matrix(true, predicted, K).tolist() == counts.tolist()
    for k in range(K):
        sensitivity = point(classification.class_sensitivity(true, predicted, K, k), n)
        specificity = point(classification.class_specificity(true, predicted, K, k), n)
        others = n - counts[k].sum()
        assert sensitivity == (pytest.approx(counts[k, k] / counts[k].sum()) if counts[k].sum() else None)
        called = counts[:, k].sum() - counts[k, k]
        assert specificity == (pytest.approx(1 - called / others) if others else None)


def test_a_class_without_cases() -> None:
    true, predicted = [0, 0, 1, 1], [0, 1, 1, 1]
    assert point(classification.class_sensitivity(true, predicted, 3, 2), 4) is None
    assert point(classification.class_specificity(true, predicted, 3, 2), 4) == 1
    assert point(classification.balanced_accuracy(true, predicted, 3), 4) == 0.75
    assert point(classification.macro_f1(true, predicted, 3), 4) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert classification.confusion_matrix(true, predicted, 3).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_impossible_classes() -> None:
    with pytest.raises(DatasetError, match="predicted class 3 is none of the classes 0 to 2"):
        classification.accuracy([0, 1], [0, 3], 3)
    with pytest.raises(DatasetError, match="true class -1"):
        classification.confusion_matrix(np.array([-1]), np.array([0]), 3)
    with pytest.raises(DatasetError, match=r"\(2,\) and predicted ones \(1,\)"):
        classification.macro_f1([0, 1], [0], 3)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(CASES, st.sampled_from([0.5, 1.0, 2.0]))
def test_precision_and_f_beta_equal_to_scikit_learn(cases: list[tuple[int, int]], beta: float) -> None:
    true, predicted = [t for t, _ in cases], [p for _, p in cases]
    n = len(cases)
    options = {"labels": range(K), "average": None, "zero_division": np.nan}
    precision = metrics.precision_score(true, predicted, **options)
    f_beta = metrics.fbeta_score(true, predicted, beta=beta, **options)
    for k in range(K):
        ours = point(classification.class_precision(true, predicted, K, k), n)
        assert ours == (None if np.isnan(precision[k]) else pytest.approx(precision[k]))
        ours = point(classification.class_f_beta(true, predicted, K, k, beta), n)
        assert ours == (None if np.isnan(f_beta[k]) else pytest.approx(f_beta[k]))
    assert point(classification.macro_precision(true, predicted, K), n) == pytest.approx(np.nanmean(precision))
    assert point(classification.macro_f_beta(true, predicted, K, beta), n) == pytest.approx(np.nanmean(f_beta))


@pytest.mark.parametrize("beta", [0, -1, float("inf"), float("nan")])
def test_impossible_beta(beta: float) -> None:
    with pytest.raises(RequestError, match=f"beta {beta} of F-beta is not a finite number above 0"):
        classification.macro_f_beta([0], [0], 2, beta)

"""Class scores and predicted classes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.evaluation.class_figures import ClassTable, as_shares, class_score_statistics, class_statistics
from ctcore.evaluation.statistics.statistic import point

NAMES = ("x", "y", "z")
TRUE = np.array([0, 1, 2, 1])
SCORES = np.array([[0.4, 0.1, 0.0], [0.3, 0.3, 0.0], [0.0, 0.2, 0.6], [0.0, 0.0, 0.0]])


def test_scores_as_shares() -> None:
    expected = [[0.8, 0.2, 0], [0.5, 0.5, 0], [0, 0.25, 0.75], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(as_shares(SCORES), expected)
    assert as_shares(np.empty((0, 3))).shape == (0, 3)


def test_scores_by_hand() -> None:
    found = {name: point(one, 4) for name, one in class_score_statistics(SCORES, TRUE, NAMES).items()}
    third = 1 / 3
    expected = {
        "one_vs_rest/auroc/x": 1.0,
        "one_vs_rest/auroc/y": (2 + 0) / 4,  # 0.3 above 0.1 and 0.2; 0 below both
        "one_vs_rest/auroc/z": 1.0,
        "one_vs_rest/auroc_macro": 2.5 / 3,
        "one_vs_rest/average_precision/x": 1.0,
        "one_vs_rest/average_precision/y": (1 + 2 / 4) / 2,
        "one_vs_rest/average_precision/z": 1.0,
        "one_vs_rest/average_precision_macro": 2.75 / 3,
        "brier_of_classes": (0.08 + 0.5 + 0.125 + 2 * third**2 + (2 * third) ** 2) / 4,
        # called: x at 0.8 (right), x at 0.5 (wrong), z at 0.75 (right), x at 1/3 (wrong): four bins
        "ece_of_top_class": (0.2 + 0.5 + 0.25 + third) / 4,
    }
    assert found == pytest.approx(expected)


def test_a_class_without_cases_does_not_count_in_the_mean() -> None:
    found = class_score_statistics(SCORES[:2], TRUE[:2], NAMES)
    assert point(found["one_vs_rest/auroc/z"], 2) is None
    assert point(found["one_vs_rest/auroc_macro"], 2) == 1.0


def test_predicted_classes_by_hand() -> None:
    table = ClassTable(NAMES, TRUE, np.array([0, 0, 2, 1]))
    assert table.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    found = {name: point(one, 4) for name, one in class_statistics(table).items()}
    assert found["accuracy"] == 0.75
    assert (found["precision/x"], found["sensitivity/x"], found["specificity/y"]) == (0.5, 1.0, 1.0)
    assert found["f_beta/y"] == pytest.approx(5 / (5 + 4))  # F2
    assert found["f1/y"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)

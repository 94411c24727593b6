"""Fusion constants against what they must do."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ctcore.detection.fusion import fuse
from ctcore.detection.fusion_fit import RIDGE, WEIGHTS, fit_logistic, fit_mean
from ctcore.errors import DatasetError

Cases = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def cases() -> Cases:
    rng = np.random.default_rng(0)
    positive = rng.random(120) < 0.4
    p = np.clip(0.3 + 0.3 * positive + rng.normal(0, 0.2, 120), 0, 1)
    d = np.clip(0.2 + 0.4 * positive + rng.normal(0, 0.25, 120), 0, 1)
    return p, d, positive


def test_logistic_equals_scikit_learn(cases: Cases) -> None:
    p, d, positive = cases
    fitted = fit_logistic(p, d, positive).logistic
    assert fitted is not None
    reference = LogisticRegression(C=1 / RIDGE, tol=1e-10).fit(np.column_stack([p, d]), positive)
    assert fitted.intercept == pytest.approx(float(reference.intercept_[0]), abs=1e-3)
    assert (fitted.class_weight, fitted.map_weight) == pytest.approx(tuple(reference.coef_[0]), abs=1e-3)


def test_logistic_of_separable_cases_is_finite_and_in_order() -> None:
    settings = fit_logistic([0.1, 0.2, 0.8, 0.9], [0.0, 0.1, 0.7, 0.9], [False, False, True, True])
    scores = [
        fuse({"non-PDAC": 1 - p, "PDAC": p}, d, settings, ["PDAC"]).score
        for p, d in ((0.1, 0.0), (0.2, 0.1), (0.9, 0.9))
    ]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


def test_no_weight_falls_below_0(cases: Cases) -> None:
    p, d, positive = cases
    fitted = fit_logistic(1 - p, d, positive).logistic
    assert fitted is not None
    assert fitted.class_weight == 0
    assert fitted.map_weight > 0


def test_the_mean_has_the_highest_auroc(cases: Cases) -> None:
    p, d, positive = cases
    settings = fit_mean(p, d, positive)
    areas = [roc_auc_score(positive, w * p + (1 - w) * d) for w in WEIGHTS]
    assert roc_auc_score(positive, settings.weight * p + (1 - settings.weight) * d) == pytest.approx(max(areas))


def test_of_equal_weights_the_middle_one() -> None:
    assert fit_mean([0.1, 0.2, 0.8, 0.9], [0.0, 0.1, 0.7, 0.9], [False, False, True, True]).weight == 0.5


@pytest.mark.parametrize("fit", [fit_logistic, fit_mean])
def test_what_cannot_be_fitted_is_refused(fit: object) -> None:
    assert callable(fit)
    with pytest.raises(DatasetError, match="0 of 2 validation cases are positive"):
        fit([0.1, 0.2], [0.1, 0.2], [False, False])
    with pytest.raises(DatasetError, match=r"must be within 0\.\.1"):
        fit([0.1, 1.2], [0.1, 0.2], [False, True])
    with pytest.raises(DatasetError, match=r"must be within 0\.\.1"):
        fit([0.1, np.nan], [0.1, 0.2], [False, True])

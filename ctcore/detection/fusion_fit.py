"""Fitting the constants of the fusion rules that have some, on validation cases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcore.detection.fusion import FusionSettings, LogisticConstants
from ctcore.errors import DatasetError

RIDGE = 1.0
"""Penalty on the squared weights (not on the intercept) of the `logistic` rule, in units of one case's loss: keeps the
constants finite where the cases can be told apart without error, and fades with their number."""

WEIGHTS = np.linspace(0.0, 1.0, 101)
"""Weights of the `mean` rule that are tried."""


def fit_logistic(p: npt.ArrayLike, d: npt.ArrayLike, positive: npt.ArrayLike) -> FusionSettings:
    """Returns the `logistic` rule with the constants of the largest penalised likelihood.

    Both weights are kept from falling below 0: a higher probability or a stronger candidate must never lower a score.

    Args:
        p: (cases,) probability of the lesion classes, calibrated.
        d: (cases,) maximum of the detection map.
        positive: (cases,) whether each is positive.

    Raises:
        DatasetError: values are outside 0..1, or no case or every case is positive.
    """
    from scipy.optimize import minimize

    features, truth = _checked(p, d, positive)
    design = np.column_stack([np.ones(truth.size), features])
    sign = np.where(truth, 1.0, -1.0)

    def loss(constants: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (design @ constants)
        slope = -sign * np.exp(-np.logaddexp(0.0, margin))  # of log(1 + exp(-margin)) by the logit
        penalty = RIDGE * np.array([0.0, constants[1], constants[2]])
        return float(np.logaddexp(0.0, -margin).sum() + penalty @ constants / 2), design.T @ slope + penalty

    found = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None), (0, None)])
    intercept, of_class, of_map = (float(value) for value in found.x)
    constants = LogisticConstants(intercept=intercept, class_weight=of_class, map_weight=of_map)
    return FusionSettings(rule="logistic", logistic=constants)


def fit_mean(p: npt.ArrayLike, d: npt.ArrayLike, positive: npt.ArrayLike) -> FusionSettings:
    """Returns the `mean` rule with the weight (of 0, 0.01, ..., 1) of the highest AUROC, of equals the nearest to 0.5.

    Args:
        p: (cases,) probability of the lesion classes, calibrated.
        d: (cases,) maximum of the detection map.
        positive: (cases,) whether each is positive.

    Raises:
        DatasetError: values are outside 0..1, or no case or every case is positive.
    """
    from scipy.stats import rankdata

    features, truth = _checked(p, d, positive)
    # The sum of the positive cases' ranks orders weights as the AUROC does (Mann-Whitney).
    ranks = [float(rankdata(features @ (w, 1 - w))[truth].sum()) for w in WEIGHTS]
    best = max(range(WEIGHTS.size), key=lambda index: (ranks[index], -abs(WEIGHTS[index] - 0.5)))
    return FusionSettings(rule="mean", weight=float(WEIGHTS[best]))


def _checked(
    p: npt.ArrayLike, d: npt.ArrayLike, positive: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Returns (cases, 2) features and the truth of cases of both kinds."""
    features = np.column_stack([np.asarray(p, dtype=np.float64), np.asarray(d, dtype=np.float64)])
    truth = np.asarray(positive, dtype=bool)
    if not ((features >= 0) & (features <= 1)).all() or truth.shape != features.shape[:1]:
        raise DatasetError("probabilities and map maxima must be within 0..1, one of each a case")
    if truth.all() or not truth.any():
        raise DatasetError(
            f"{int(truth.sum())} of {truth.size} validation cases are positive; fitting needs both kinds"
        )
    return features, truth

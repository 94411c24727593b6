"""Calibration on validation cases: temperature, isotonic probability, operating points.

Temperature divides the class logits before the softmax and so keeps the order of the cases of two classes (Guo et al.,
"On Calibration of Modern Neural Networks", ICML 2017). Isotonic regression turns the fused score into the share of
positive cases at that score; it makes ties, so it is an extra probability and never the score. An operating point is a
threshold of the score with the sensitivity or specificity that it had on the validation cases.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.errors import DatasetError, RequestError

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures that are looked at; classes that can be told apart without error would want one of 0."""

Scores = npt.NDArray[np.float64]
Positive = npt.NDArray[np.bool_]


class IsotonicCurve(BaseModel):
    """Probability of a positive case over its score: linear between knots, constant beyond them.

    Attributes:
        scores: of the knots, rising.
        probabilities: at the knots, never falling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: tuple[float, ...] = Field(min_length=1)
    probabilities: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rises(self) -> IsotonicCurve:
        if len(self.scores) != len(self.probabilities):
            raise ValueError(f"{len(self.scores)} scores do not fit {len(self.probabilities)} probabilities")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.probabilities) < 0):
            raise ValueError("scores must rise from knot to knot, probabilities must not fall")
        if not (self.probabilities[0] >= 0 and self.probabilities[-1] <= 1):
            raise ValueError(f"probabilities {self.probabilities[0]} to {self.probabilities[-1]} are not within 0..1")
        return self

    def probability(self, score: float) -> float:
        """Returns the probability of a score."""
        return float(np.interp(score, self.scores, self.probabilities))


class OperatingPoint(BaseModel):
    """A threshold of the score.

    Attributes:
        target: what was asked for.
        value: how much of it, 0..1.
        threshold: score at or above which a case is called positive.
        sensitivity: share of the validation cases' positive ones that were then called so.
        specificity: share of the negative ones that were not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Literal["sensitivity", "specificity"]
    value: float = Field(ge=0, le=1, allow_inf_nan=False)
    threshold: float = Field(allow_inf_nan=False)
    sensitivity: float = Field(ge=0, le=1)
    specificity: float = Field(ge=0, le=1)

    @property
    def name(self) -> str:
        """For a table: `sensitivity 0.95`."""
        return f"{self.target} {self.value:g}"


class Calibration(BaseModel):
    """What a bundle knows of its scores from validation cases.

    Attributes:
        cases: their number.
        positive: how many of them were positive.
        fitted_on: which cases they were, in the words of whoever fitted it.
        isotonic: probability of a positive case over the score, at the validation cases' prevalence.
        operating_points: thresholds that a run reports against.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int = Field(ge=2)
    positive: int = Field(ge=1)
    fitted_on: str = Field(min_length=1)
    isotonic: IsotonicCurve
    operating_points: tuple[OperatingPoint, ...] = ()


def fit_temperature(logits: npt.ArrayLike, classes: npt.ArrayLike) -> float:
    """Returns the temperature at which the true classes are most likely, within `TEMPERATURE_RANGE`.

    Args:
        logits: (cases, classes) class logits, or logarithms of probabilities.
        classes: (cases,) index of the true class.

    Raises:
        DatasetError: logits are not finite, there are fewer than two cases, or all are of one class.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    z, truth = np.asarray(logits, dtype=np.float64), np.asarray(classes, dtype=np.intp)
    if z.ndim != 2 or truth.shape != z.shape[:1] or not np.isfinite(z).all():
        raise DatasetError(f"logits of shape {z.shape} for {truth.size} cases must be finite, one row a case")
    if np.unique(truth).size < 2:
        raise DatasetError(f"{truth.size} validation cases of one class cannot calibrate; add cases of the others")

    def loss(log_temperature: float) -> float:
        scaled = z / np.exp(log_temperature)
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(truth.size), truth]))

    low, high = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    best = min((low, float(found.x), high), key=loss)  # the bounded search stops short of its ends
    return float(np.exp(best))


def fit_isotonic(scores: npt.ArrayLike, positive: npt.ArrayLike) -> IsotonicCurve:
    """Returns the never falling curve that is nearest (least squares) to the cases; equal scores are one knot.

    Source: the pool-adjacent-violators solution, by SciPy.

    Args:
        scores: (cases,) fused scores.
        positive: (cases,) whether each is positive.

    Raises:
        DatasetError: a score is not finite, or no case or every case is positive.
    """
    from scipy.optimize import isotonic_regression

    values, truth = _checked(scores, positive)
    distinct, place = np.unique(values, return_inverse=True)
    cases = np.bincount(place)
    share = np.bincount(place, weights=truth) / cases
    fitted = np.clip(isotonic_regression(share, weights=cases).x, 0.0, 1.0)
    # Of every level its two ends say all.
    keep = np.ones(distinct.size, dtype=bool)
    keep[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return IsotonicCurve(scores=tuple(distinct[keep].tolist()), probabilities=tuple(fitted[keep].tolist()))


def choose_operating_point(
    scores: npt.ArrayLike, positive: npt.ArrayLike, target: Literal["sensitivity", "specificity"], value: float
) -> OperatingPoint:
    """Returns the threshold that reaches a target at the least cost of the other: one of the cases' scores.

    For a sensitivity it is the highest threshold that reaches it; for a specificity the lowest (above the highest score
    if none of the scores does).

    Args:
        scores: (cases,) fused scores.
        positive: (cases,) whether each is positive.
        target: what must be reached.
        value: how much of it, above 0 and at most 1.

    Raises:
        RequestError: the value is out of range.
        DatasetError: a score is not finite, or no case or every case is positive.
    """
    if not 0 < value <= 1:
        raise RequestError(f"{target} {value} is not above 0 and at most 1; give a share such as 0.95")
    values, truth = _checked(scores, positive)
    thresholds = np.append(np.unique(values), np.nextafter(values.max(), np.inf))
    sensitivity = np.array([(values[truth] >= threshold).mean() for threshold in thresholds])
    specificity = np.array([(values[~truth] < threshold).mean() for threshold in thresholds])
    if target == "sensitivity":
        chosen = int(np.flatnonzero(sensitivity >= value)[-1])
    else:
        chosen = int(np.flatnonzero(specificity >= value)[0])
    return OperatingPoint(
        target=target,
        value=value,
        threshold=float(thresholds[chosen]),
        sensitivity=float(sensitivity[chosen]),
        specificity=float(specificity[chosen]),
    )


def _checked(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Scores, Positive]:
    """Returns scores and truth of cases of both kinds."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape or not np.isfinite(values).all():
        raise DatasetError(f"{values.size} scores for {truth.size} cases must be finite, one a case")
    if truth.all() or not truth.any():
        raise DatasetError(
            f"{int(truth.sum())} of {truth.size} validation cases are positive; calibration needs both kinds"
        )
    return values, truth

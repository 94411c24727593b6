"""Patient-level statistics of a score: AUROC, average precision, sensitivity and specificity.

A case is called positive where its score is at or above the threshold. Where an operating point is sought, the
thresholds are the scores themselves and one above them all, nothing is interpolated, and every replicate seeks its own:
the interval then holds the uncertainty of the threshold too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.ranking import Ranking, last_reached
from ctcore.evaluation.statistics.statistic import (
    RATE_TOLERANCE,
    Bools,
    Floats,
    Statistic,
    Weights,
    as_floats,
    bounded,
    quotient,
    ratio,
)


def auroc(scores: npt.ArrayLike, positive: Sequence[bool] | Bools) -> Statistic:
    """Returns the area under the empirical ROC curve.

    It is the share of pairs of a positive and a negative case whose scores are in order, ties counted half: the
    Mann-Whitney statistic (Hanley and McNeil, Radiology 143, 1982). Undefined without a positive or a negative case.

    Args:
        scores: (cases,) finite.
        positive: (cases,).

    Raises:
        DatasetError: the two differ in length, or a score is not finite.
    """
    values, truth = checked_scores(scores, positive)
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    negatives = negatives[np.argsort(values[negatives], kind="stable")]
    below = np.searchsorted(values[negatives], values[positives], side="left")
    not_above = np.searchsorted(values[negatives], values[positives], side="right")

    def statistic(weights: Weights) -> Floats:
        counted = np.zeros((len(weights), negatives.size + 1))
        np.cumsum(weights[:, negatives], axis=1, out=counted[:, 1:])
        of_positive = as_floats(weights[:, positives])
        ordered = np.einsum("ij,ij->i", of_positive, counted[:, below] + counted[:, not_above]) / 2
        return quotient(ordered, of_positive.sum(axis=1) * counted[:, -1])

    return bounded(statistic, values.size)


def average_precision(scores: npt.ArrayLike, positive: Sequence[bool] | Bools) -> Statistic:
    """Returns the average precision of a score: the sum over its falling values of (R[i] - R[i-1]) P[i].

    Of cases, not of lesions: R is the share of positive cases at or above the value, P the share of positive ones
    among these; not interpolated, equal scores are one step. Undefined without a positive case.

    Args:
        scores: (cases,) finite.
        positive: (cases,).

    Raises:
        DatasetError: the two differ in length, or a score is not finite.
    """
    values, truth = checked_scores(scores, positive)
    ranking = Ranking.of(values)
    ordered = truth[ranking.order]

    def statistic(weights: Weights) -> Floats:
        if not values.size:
            return np.full(len(weights), np.nan)
        counts = weights[:, ranking.order]
        true, called = ranking.cumulated(counts * ordered), ranking.cumulated(counts)
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        return quotient((np.diff(true, axis=1, prepend=0.0) * precision).sum(axis=1), true[:, -1])

    return bounded(statistic, values.size)


def sensitivity_at_specificity(scores: npt.ArrayLike, positive: Sequence[bool] | Bools, target: float) -> Statistic:
    """Returns the highest sensitivity among the thresholds whose specificity is at least the target.

    Args:
        scores: (cases,) finite.
        positive: (cases,).
        target: above 0, at most 1.

    Raises:
        DatasetError: the arrays differ in length, or a score is not finite.
        RequestError: the target is no such number.
    """
    check_target("specificity", target)

    def choose(sensitivity: Floats, specificity: Floats) -> Floats:
        return last_reached(specificity >= target - RATE_TOLERANCE, sensitivity, before=0.0)

    return _operating_points(scores, positive, choose)


def specificity_at_sensitivity(scores: npt.ArrayLike, positive: Sequence[bool] | Bools, target: float) -> Statistic:
    """Returns the highest specificity among the thresholds whose sensitivity is at least the target.

    Args:
        scores: (cases,) finite.
        positive: (cases,).
        target: above 0, at most 1.

    Raises:
        DatasetError: the arrays differ in length, or a score is not finite.
        RequestError: the target is no such number.
    """
    check_target("sensitivity", target)

    def choose(sensitivity: Floats, specificity: Floats) -> Floats:
        first = np.argmax(sensitivity >= target - RATE_TOLERANCE, axis=1)
        return as_floats(specificity[np.arange(len(first)), first])

    return _operating_points(scores, positive, choose)


def sensitivity(scores: npt.ArrayLike, positive: Sequence[bool] | Bools, threshold: float) -> Statistic:
    """Returns the share of positive cases (cases,) whose score (cases,) is at or above the threshold."""
    values, truth = checked_scores(scores, positive)
    return ratio((values >= threshold) & truth, truth)


def specificity(scores: npt.ArrayLike, positive: Sequence[bool] | Bools, threshold: float) -> Statistic:
    """Returns the share of negative cases (cases,) whose score (cases,) is below the threshold."""
    values, truth = checked_scores(scores, positive)
    return ratio((values < threshold) & ~truth, ~truth)


def _operating_points(
    scores: npt.ArrayLike, positive: Sequence[bool] | Bools, choose: Callable[[Floats, Floats], Floats]
) -> Statistic:
    """Returns what `choose` makes of sensitivity and specificity (replicates, thresholds), by falling threshold."""
    values, truth = checked_scores(scores, positive)
    ranking = Ranking.of(values)
    ordered = truth[ranking.order]

    def statistic(weights: Weights) -> Floats:
        counts = weights[:, ranking.order]
        true, false = ranking.cumulated(counts * ordered), ranking.cumulated(counts * ~ordered)
        result = np.full(len(weights), np.nan)
        if values.size:
            defined = (true[:, -1] > 0) & (false[:, -1] > 0)
            true, false = true[defined], false[defined]
            negatives = false[:, -1:]
            result[defined] = choose(true / true[:, -1:], (negatives - false) / negatives)
        return result

    return bounded(statistic, values.size)


def checked_scores(scores: npt.ArrayLike, positive: Sequence[bool] | Bools) -> tuple[Floats, Bools]:
    """Returns scores and truth as arrays (cases,).

    Raises:
        DatasetError: they differ in length, or a score is not finite.
    """
    values, truth = as_floats(scores), np.asarray(positive, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape:
        raise DatasetError(f"scores of shape {values.shape} and truth of shape {truth.shape}: give one of each a case")
    if not np.isfinite(values).all():
        raise DatasetError(f"score {values[~np.isfinite(values)][0]} is not a finite number; leave the case out")
    return values, truth


def check_target(name: str, target: float) -> None:
    """Refuses a rate that cannot be aimed at.

    Raises:
        RequestError: it is not above 0 and at most 1.
    """
    if not 0 < target <= 1:
        raise RequestError(f"{name} {target} is not above 0 and at most 1; 0.95 for example")

"""Decision curves: what acting on a probability is worth (Vickers and Elkin, Medical Decision Making 26, 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError
from ctcore.evaluation.statistics.calibration import checked_probabilities
from ctcore.evaluation.statistics.statistic import Bools, Floats, Statistic, as_floats, ratio


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit over the threshold probability; that of treating no one is 0 everywhere.

    Attributes:
        thresholds: (points,) threshold probabilities.
        model: (points,) of treating whoever reaches the threshold.
        treat_all: (points,) of treating everyone.
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats


def net_benefit(probabilities: npt.ArrayLike, positive: Sequence[bool] | Bools, threshold: float) -> Statistic:
    """Returns TP / n - FP / n * t / (1 - t) of treating whoever's probability is at or above t.

    It depends on the share of positive cases: in a study that has more of them than the clinic it is higher than there.

    Args:
        probabilities: (cases,) of being positive.
        positive: (cases,).
        threshold: t, within 0..1 and below 1.

    Raises:
        DatasetError: the arrays differ in length, or a probability is not within 0..1.
        RequestError: the threshold is not in that range.
    """
    p, truth = checked_probabilities(probabilities, positive)
    odds = _odds(threshold)
    return ratio(np.where(p >= threshold, np.where(truth, 1.0, -odds), 0.0), np.ones(p.size))


def net_benefit_of_all(positive: Sequence[bool] | Bools, threshold: float) -> Statistic:
    """Returns the net benefit of treating everyone; arguments and errors as for `net_benefit`."""
    truth = np.asarray(positive, dtype=bool)
    return ratio(np.where(truth, 1.0, -_odds(threshold)), np.ones(truth.size))


def decision_curve(
    probabilities: npt.ArrayLike, positive: Sequence[bool] | Bools, thresholds: npt.ArrayLike
) -> DecisionCurve:
    """Returns the net benefit at each threshold probability; arguments and errors as for `net_benefit`.

    Without a case it is NaN.
    """
    points = as_floats(thresholds)
    once = np.ones((1, np.asarray(positive).size), dtype=np.int64)
    model = [net_benefit(probabilities, positive, t)(once)[0] for t in points]
    everyone = [net_benefit_of_all(positive, t)(once)[0] for t in points]
    return DecisionCurve(points, np.array(model), np.array(everyone))


def _odds(threshold: float) -> float:
    """Returns t / (1 - t).

    Raises:
        RequestError: the threshold is not from 0 on and below 1.
    """
    if not 0 <= threshold < 1:
        raise RequestError(f"threshold probability {threshold} is not from 0 on and below 1; 0.1 for example")
    return float(threshold / (1 - threshold))

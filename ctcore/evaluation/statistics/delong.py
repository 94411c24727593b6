"""DeLong's variance of AUROCs, and the test of two systems on the same cases.

DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988) with the midranks of Sun and Xu (IEEE Signal Processing Letters
21, 2014). The share of negative cases that a positive case outscores (ties half) is its placement; the AUROC is their
mean, its variance the variance of the placements of the positive cases over their number, plus the same of the negative
ones.

The interval is symmetric on the logit scale: expit(logit(A) +- z s / (A (1 - A))). The plain A +- z s leaves 0..1 and
errs to one side: in the simulation of `python -m benchmarks.uncertainty` it holds the truth less often than it says,
the logit one as often.

Cases count as independent; for several cases of a patient use the bootstrap with groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics.roc import checked_scores
from ctcore.evaluation.statistics.statistic import Bools, Floats, as_floats

Z_975 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

PLACEMENT_TOLERANCE = 1e-9
"""Shares of cases that differ by less differ by rounding: the smallest step is one in twice the number of cases."""


@dataclass(frozen=True, eq=False)
class DeLong:
    """AUROCs of systems on the same cases.

    Attributes:
        auroc: (systems,).
        covariance: (systems, systems); NaN with a single positive or negative case, whose spread is unknown.
    """

    auroc: Floats
    covariance: Floats

    def interval(self, system: int = 0) -> tuple[float, float] | None:
        """Returns the 95 % interval, or None where the variance is unknown or 0 (as for an AUROC of 1)."""
        area, variance = float(self.auroc[system]), float(self.covariance[system, system])
        if not variance > 0:
            return None
        centre, half = math.log(area / (1 - area)), Z_975 * math.sqrt(variance) / (area * (1 - area))
        return _expit(centre - half), _expit(centre + half)


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same cases.

    Attributes:
        difference: AUROC of the first minus that of the second.
        ci95: difference +- z s, cut to -1..1; None where the variance is unknown or 0.
        p: two-sided, of no difference. 1 where every case has the same placement in both; None where the variance is
            unknown, or 0 in spite of a difference (as of a perfect and a perfectly wrong system): there the test has
            no scale to judge it by, a permutation test has.
    """

    difference: float
    ci95: tuple[float, float] | None
    p: float | None


def delong(scores: npt.ArrayLike, positive: Sequence[bool] | Bools) -> DeLong | None:
    """Returns the AUROCs and their covariance, or None if no case or every case is positive.

    Args:
        scores: (systems, cases), or (cases,) of one system; finite.
        positive: (cases,).

    Raises:
        DatasetError: the arrays do not fit each other, or a score is not finite.
    """
    placed = _placements(scores, positive)
    if placed is None:
        return None
    of_positive, of_negative = placed
    covariance = _covariance_of_mean(of_positive) + _covariance_of_mean(of_negative)
    return DeLong(of_positive.mean(axis=1), covariance)


def paired_test(first: npt.ArrayLike, second: npt.ArrayLike, positive: Sequence[bool] | Bools) -> PairedTest | None:
    """Tests whether two systems have the same AUROC; None if no case or every case is positive.

    Args:
        first: (cases,) scores; each system has its own scale.
        second: (cases,) scores of the same cases.
        positive: (cases,).

    Raises:
        DatasetError: the arrays differ in length, or a score is not finite.
    """
    a, b = as_floats(first), as_floats(second)
    if a.shape != b.shape:
        raise DatasetError(f"scores of shapes {a.shape} and {b.shape}: both systems need one for every case")
    placed = _placements(np.stack([a, b]), positive)
    if placed is None:
        return None
    of_positive, of_negative = placed
    difference = float(np.mean(of_positive[0] - of_positive[1]))
    changes = [of_positive[:1] - of_positive[1:], of_negative[:1] - of_negative[1:]]
    if all(np.ptp(change) < PLACEMENT_TOLERANCE for change in changes):
        same = abs(difference) < PLACEMENT_TOLERANCE
        return PairedTest(0.0, None, 1.0) if same else PairedTest(difference, None, None)
    variance = sum(float(_covariance_of_mean(change)[0, 0]) for change in changes)
    if math.isnan(variance):
        return PairedTest(difference, None, None)
    half = Z_975 * math.sqrt(variance)
    p = math.erfc(abs(difference) / math.sqrt(2 * variance))
    return PairedTest(difference, (max(difference - half, -1.0), min(difference + half, 1.0)), p)


def _placements(scores: npt.ArrayLike, positive: Sequence[bool] | Bools) -> tuple[Floats, Floats] | None:
    """Returns the placements (systems, positive cases) and (systems, negative cases); None without one of them.

    The placement of a negative case is the share of positive cases that outscore it, ties half.
    """
    from scipy.stats import rankdata

    systems = np.atleast_2d(as_floats(scores))
    for row in systems:
        checked_scores(row, positive)
    truth = np.asarray(positive, dtype=bool)
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    if not n_positive or not n_negative:
        return None
    ranks = rankdata(systems, axis=1)
    own_positive = rankdata(systems[:, truth], axis=1)
    own_negative = rankdata(systems[:, ~truth], axis=1)
    return (ranks[:, truth] - own_positive) / n_negative, 1 - (ranks[:, ~truth] - own_negative) / n_positive


def _covariance_of_mean(values: Floats) -> Floats:
    """Returns the covariance (systems, systems) of the means of (systems, cases), NaN for a single case."""
    number = values.shape[1]
    if number < 2:
        return np.full((len(values), len(values)), np.nan)
    centred = values - values.mean(axis=1, keepdims=True)
    return as_floats(centred @ centred.T / ((number - 1) * number))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

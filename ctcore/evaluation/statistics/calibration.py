"""How far probabilities can be taken at their word: Brier score, expected calibration error, reliability curve.

Two ways to bin, both with `N_BINS` bins by default:

- `width`: bin b holds the probabilities in [b / B, (b + 1) / B), the last one 1 too (Guo et al., ICML 2017);
- `mass`: bins of equal numbers of cases as far as ties allow. Equal probabilities stay together, in the bin in which
  the middle of their ranks falls: b = floor(B (n_below + n_equal / 2) / n). Replicates are binned anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.ranking import Ranking
from ctcore.evaluation.statistics.statistic import (
    Bools,
    Floats,
    Statistic,
    Weights,
    as_floats,
    bounded,
    mean,
    quotient,
)

Binning = Literal["width", "mass"]

N_BINS = 10


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """How often the cases of each bin are positive, by rising probability.

    Attributes:
        predicted: (bins,) mean probability; NaN where the bin is empty.
        observed: (bins,) share of positive cases; NaN where the bin is empty.
        cases: (bins,) number of cases.
    """

    predicted: Floats
    observed: Floats
    cases: npt.NDArray[np.int64]


def brier(probabilities: npt.ArrayLike, positive: Sequence[bool] | Bools) -> Statistic:
    """Returns the mean of (p - y)^2 (Brier, Monthly Weather Review 78, 1950, halved as usual for two classes).

    Args:
        probabilities: (cases,) of being positive.
        positive: (cases,) y.

    Raises:
        DatasetError: the arrays differ in length, or a probability is not within 0..1.
    """
    p, y = checked_probabilities(probabilities, positive)
    return mean((p - y) ** 2)


def brier_of_classes(probabilities: npt.ArrayLike, true: Sequence[int] | npt.NDArray[np.integer]) -> Statistic:
    """Returns the mean over the cases of the sum over the classes of (p - y)^2: 0 to 2.

    Args:
        probabilities: (cases, classes).
        true: (cases,) index of the true class.

    Raises:
        DatasetError: the arrays do not fit each other, or a probability is not within 0..1.
    """
    p, truth = as_floats(probabilities), np.asarray(true, dtype=np.int64)
    if p.ndim != 2 or truth.shape != p.shape[:1]:
        raise DatasetError(
            f"probabilities {p.shape} and true classes {truth.shape}: give (cases, classes) and (cases,)"
        )
    outside = truth[(truth < 0) | (truth >= p.shape[1])]
    if outside.size:
        raise DatasetError(f"true class {outside[0]} is none of the classes 0 to {p.shape[1] - 1}")
    _check_range(p)
    return mean(((p - np.eye(p.shape[1])[truth]) ** 2).sum(axis=1))


def expected_calibration_error(
    probabilities: npt.ArrayLike,
    positive: Sequence[bool] | Bools,
    *,
    bins: int = N_BINS,
    binning: Binning = "width",
) -> Statistic:
    """Returns the expected calibration error: the sum over the bins of n_b / n |mean y - mean p|.

    Naeini et al., AAAI 2015. The noise of each bin enters with its absolute value: of perfectly calibrated scores of
    250 cases the error is 0.05 on average, and replicates, noisier still, lie above that. The bootstrap then mostly
    finds no interval; one that it does find speaks of clear miscalibration only.

    Args:
        probabilities: (cases,) of being positive; for K classes the highest one.
        positive: (cases,) y; for K classes whether the class of the highest one is right.
        bins: number of bins B.
        binning: `width` or `mass`, see the module.

    Raises:
        DatasetError: the arrays differ in length, or a probability is not within 0..1.
        RequestError: there is no bin.
    """
    p, y = checked_probabilities(probabilities, positive)
    _check_bins(bins)
    residuals = y - p
    if binning == "width":
        cells = np.eye(bins)[_equal_width(p, bins)] * residuals[:, None]

        def statistic(weights: Weights) -> Floats:
            counts = as_floats(weights)
            return quotient(np.abs(counts @ cells).sum(axis=1), counts.sum(axis=1))

        return statistic
    ranking = Ranking.of(-p)

    def statistic_of_mass(weights: Weights) -> Floats:
        counts = weights[:, ranking.order]
        bin_of = _equal_mass(ranking.sums(counts), bins)
        flat = (bin_of + bins * np.arange(len(weights))[:, None]).ravel()
        of_group = ranking.sums(counts * residuals[ranking.order])
        sums = np.bincount(flat, of_group.ravel(), minlength=bins * len(weights)).reshape(-1, bins)
        return quotient(np.abs(sums).sum(axis=1), as_floats(counts.sum(axis=1)))

    return bounded(statistic_of_mass, p.size)


def reliability_curve(
    probabilities: npt.ArrayLike,
    positive: Sequence[bool] | Bools,
    *,
    bins: int = N_BINS,
    binning: Binning = "width",
) -> ReliabilityCurve:
    """Returns predicted against observed shares; the arguments are those of `expected_calibration_error`."""
    p, y = checked_probabilities(probabilities, positive)
    _check_bins(bins)
    if binning == "width":
        bin_of = _equal_width(p, bins)
    else:
        ranking = Ranking.of(-p)
        sizes = ranking.sums(np.ones((1, p.size)))
        bin_of = np.empty(p.size, dtype=np.int64)
        bin_of[ranking.order] = np.repeat(_equal_mass(sizes, bins)[0], sizes[0].astype(np.int64))
    cases = np.bincount(bin_of, minlength=bins)
    number = cases.astype(np.float64)
    predicted, observed = (as_floats(np.bincount(bin_of, values, minlength=bins)) for values in (p, y))
    return ReliabilityCurve(quotient(predicted, number), quotient(observed, number), cases)


def checked_probabilities(probabilities: npt.ArrayLike, positive: Sequence[bool] | Bools) -> tuple[Floats, Bools]:
    """Returns probabilities and truth as arrays (cases,).

    Raises:
        DatasetError: they differ in length, or a probability is not within 0..1.
    """
    p, truth = as_floats(probabilities), np.asarray(positive, dtype=bool)
    if p.ndim != 1 or p.shape != truth.shape:
        raise DatasetError(f"probabilities {p.shape} and truth {truth.shape}: give one of each a case")
    _check_range(p)
    return p, truth


def _check_range(p: Floats) -> None:
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        raise DatasetError(f"{p[wrong][0]} is no probability; give values within 0..1")


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise RequestError(f"{bins} bins hold nothing; ask for at least 1")


def _equal_width(p: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Returns the bin of every case: (cases,)."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, p, side="right").astype(np.int64)


def _equal_mass(sizes: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Returns the bin of every group of equal probabilities by rising probability, from the sizes (rows, groups)."""
    total = np.maximum(sizes.sum(axis=1, keepdims=True), 1)
    middle = np.cumsum(sizes, axis=1) - sizes / 2
    bin_of: npt.NDArray[np.int64] = np.minimum(np.floor(bins * middle / total).astype(np.int64), bins - 1)
    return bin_of

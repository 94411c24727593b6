"""What a statistic is: a function of how often each case counts.

The point estimate is the statistic where every case counts once; a bootstrap replicate is the statistic at how often
each case was drawn; a stratum is the statistic with the other cases' weights 0. One set of draws therefore serves every
number that is reported, and all agree on who was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.integer]
"""(replicates, cases) how often each case counts; not negative."""

Statistic = Callable[[Weights], Floats]
"""Maps weights (replicates, cases) to values (replicates,); NaN where the statistic is undefined."""

MAX_ELEMENTS = 1_000_000
"""Replicates x items that a statistic holds in memory at once, in each of its few work arrays."""

RATE_TOLERANCE = 1e-12
"""By how much a rate may fall short of its target for rounding alone."""


def point(statistic: Statistic, n_cases: int) -> float | None:
    """Returns the statistic where each of the cases counts once, or None if it is undefined."""
    value = float(statistic(np.ones((1, n_cases), dtype=np.int64))[0])
    return None if np.isnan(value) else value


def restricted(statistic: Statistic, members: Sequence[bool] | Bools) -> Statistic:
    """Returns the statistic of a stratum: the cases (cases,) that are no members count 0 times."""
    inside = np.asarray(members, dtype=bool)
    return lambda weights: statistic(weights * inside)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """Returns the first minus the second statistic of the same cases, each replicate's draws serving both."""
    return lambda weights: first(weights) - second(weights)


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Statistic:
    """Returns the statistic sum(w a) / sum(w b), undefined where the latter is 0.

    Args:
        numerator: (cases,) a; finite.
        denominator: (cases,) b; finite.
    """
    terms = np.stack([as_floats(numerator), as_floats(denominator)], axis=1)
    return lambda weights: quotient(*(as_floats(weights) @ terms).T)


def mean(values: npt.ArrayLike) -> Statistic:
    """Returns the mean of a value (cases,) of each case; a case whose value is NaN does not count.

    Raises:
        DatasetError: a value is infinite.
    """
    numbers = as_floats(values)
    if np.isinf(numbers).any():
        raise DatasetError("a value to be averaged is infinite; give NaN where a case has none")
    counts = ~np.isnan(numbers)
    return ratio(np.where(counts, numbers, 0.0), counts)


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """Returns the mean of statistics, at each draw of those that are defined; undefined where none is."""

    def statistic(weights: Weights) -> Floats:
        values = np.stack([one(weights) for one in statistics]) if statistics else np.empty((0, len(weights)))
        defined = ~np.isnan(values)
        return quotient(np.where(defined, values, 0.0).sum(axis=0), as_floats(defined.sum(axis=0)))

    return statistic


def undefined(weights: Weights) -> Floats:
    """The statistic that is nowhere defined: of what a study cannot tell."""
    return np.full(len(weights), np.nan)


def bounded(statistic: Statistic, items: int) -> Statistic:
    """Returns the same statistic, called with so few rows at once that its work arrays stay small.

    Args:
        statistic: whose work arrays have the shape (rows, items).
        items: findings, groups or cells of each row.
    """
    rows = max(1, MAX_ELEMENTS // max(items, 1))

    def in_blocks(weights: Weights) -> Floats:
        blocks = [statistic(weights[begin : begin + rows]) for begin in range(0, len(weights), rows)]
        return np.concatenate(blocks) if blocks else np.empty(0)

    return in_blocks


def quotient(numerator: Floats, denominator: Floats) -> Floats:
    """Returns the element-wise quotient of two arrays that broadcast, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    result: Floats = np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0)
    return result


def as_floats(values: npt.ArrayLike) -> Floats:
    """Returns values as float64, without a copy where they are."""
    return np.asarray(values, dtype=np.float64)

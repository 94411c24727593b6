"""Items by falling value, sorted once for all replicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.evaluation.statistics.statistic import Floats, as_floats


@dataclass(frozen=True, eq=False)
class Ranking:
    """Items by falling value, equal values in one group.

    Attributes:
        order: (items,) indices that sort the items.
        starts: (groups,) where each distinct value begins in that order.
        values: (groups,) the distinct values.
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    values: Floats

    @classmethod
    def of(cls, values: Floats) -> Ranking:
        """Ranks finite values (items,)."""
        order = np.argsort(-values, kind="stable")
        ordered = values[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=np.inf) != 0) if values.size else np.empty(0, dtype=np.intp)
        return cls(order, starts, ordered[starts])

    def sums(self, amounts: npt.NDArray[np.generic]) -> Floats:
        """Returns the sums of amounts (rows, items, already in order) over each group: (rows, groups)."""
        if not self.starts.size:
            return np.zeros((len(amounts), 0))
        return np.add.reduceat(amounts, self.starts, axis=1, dtype=np.float64)

    def cumulated(self, amounts: npt.NDArray[np.generic]) -> Floats:
        """Returns the sums over each group and all groups of higher value: (rows, groups)."""
        return as_floats(np.cumsum(self.sums(amounts), axis=1))


def last_reached(reached: npt.NDArray[np.bool_], values: Floats, before: float) -> Floats:
    """Returns each row's value at the last column that is reached, `before` where none is.

    Args:
        reached: (rows, columns); true up to some column and false after it.
        values: (rows, columns).
        before: the value in front of the first column.
    """
    extended = np.concatenate([np.full((len(values), 1), before), values], axis=1)
    return as_floats(extended[np.arange(len(values)), reached.sum(axis=1)])

"""When a training has stopped improving, as a pure function of its history: nothing to keep in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence


def epochs_without_improvement(values: Sequence[float], first: int = 0) -> int:
    """Returns how many epochs have passed since the best value.

    Args:
        values: one value an epoch, larger is better; NaN is no improvement.
        first: epochs before this one do not count, neither as best nor as passed.
    """
    best, since = -math.inf, 0
    for value in values[first:]:
        if value > best:
            best, since = value, 0
        else:
            since += 1
    return since

"""How often each case is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt


def balanced_probabilities(classes: Sequence[Hashable]) -> npt.NDArray[np.float64]:
    """Returns a probability for each case with which every class is drawn as often as every other.

    Args:
        classes: class of each case; cases without one share a value of their own and count as one class more.
    """
    sizes = Counter(classes)
    return np.array([1 / (len(sizes) * sizes[value]) for value in classes])

"""What the number of training cases of each class says: priors, with them or without, and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError


def class_priors(counts: Mapping[str, int]) -> tuple[float, ...]:
    """Returns the share of each class, in the order of `counts`.

    Args:
        counts: training cases by class name.

    Raises:
        DatasetError: a class has no case.
    """
    for name, count in counts.items():
        if count < 1:
            raise DatasetError(
                f"class '{name}' has {count} training cases; add cases of it, make other folds,"
                " or leave the class out of class_names"
            )
    total = sum(counts.values())
    return tuple(count / total for count in counts.values())


def without_priors(
    logits: npt.NDArray[np.float32], priors: Sequence[float], tau: float = 1.0
) -> npt.NDArray[np.float32]:
    """Returns logits - tau log prior: of a network that plain cross-entropy trained, those of classes equally frequent.

    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, the post-hoc adjustment.

    Args:
        logits: class logits (n,).
        priors: share of each class in the training cases, above 0.
        tau: strength; 1 takes the priors out, 0 changes nothing.
    """
    shift = np.array([tau * math.log(prior) for prior in priors], dtype=np.float32)
    return logits - shift


def inverse_frequency_weights(counts: Mapping[str, int]) -> tuple[float, ...]:
    """Returns N / (K n) for each class of n cases, of N in K classes: every class weighs the same, a case 1 on average.

    Args:
        counts: training cases by class name.

    Raises:
        DatasetError: a class has no case.
    """
    return tuple(1 / (len(counts) * prior) for prior in class_priors(counts))

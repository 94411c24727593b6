"""What the number of training cases of each class says: priors and weights."""

from __future__ import annotations

from collections.abc import Mapping

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


def inverse_frequency_weights(counts: Mapping[str, int]) -> tuple[float, ...]:
    """Returns N / (K n) for each class of n cases, of N in K classes: every class weighs the same, a case 1 on average.

    Args:
        counts: training cases by class name.

    Raises:
        DatasetError: a class has no case.
    """
    return tuple(1 / (len(counts) * prior) for prior in class_priors(counts))

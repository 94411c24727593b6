"""Statistics of predicted classes, from the counts of true and predicted class.

A rate of a class is undefined (NaN) where nothing bears it; averages over the classes leave such classes out, as
scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.statistic import Floats, Statistic, Weights, as_floats, bounded, quotient, ratio

Classes = Sequence[int] | npt.NDArray[np.integer]
"""(cases,) index of each case's class, 0 .. n_classes - 1."""


def accuracy(true: Classes, predicted: Classes, n_classes: int) -> Statistic:
    """Returns the share of cases whose predicted class is the true one."""
    truth, called = _checked(true, predicted, n_classes)
    return ratio(truth == called, np.ones(truth.size))


def balanced_accuracy(true: Classes, predicted: Classes, n_classes: int) -> Statistic:
    """Returns the mean sensitivity of the classes that have cases; undefined without a case."""
    return _of_confusion(true, predicted, n_classes, lambda counts: _mean(quotient(_diagonal(counts), counts.sum(2))))


def macro_f1(true: Classes, predicted: Classes, n_classes: int) -> Statistic:
    """Returns the mean over the classes of F1 = 2 TP / (2 TP + FP + FN).

    A class that no case has and none is given does not count.
    """
    return macro_f_beta(true, predicted, n_classes, 1.0)


def macro_f_beta(true: Classes, predicted: Classes, n_classes: int, beta: float) -> Statistic:
    """Returns the mean over the classes of F-beta, see `class_f_beta`.

    A class that no case has and none is given does not count.

    Raises:
        RequestError: beta is not a finite number above 0.
    """
    square = _square(beta)
    return _of_confusion(true, predicted, n_classes, lambda counts: _mean(_f_beta(counts, square)))


def macro_precision(true: Classes, predicted: Classes, n_classes: int) -> Statistic:
    """Returns the mean precision of the classes that some case is given; undefined without a case."""
    return _of_confusion(true, predicted, n_classes, lambda counts: _mean(quotient(_diagonal(counts), counts.sum(1))))


def class_f_beta(true: Classes, predicted: Classes, n_classes: int, name: int, beta: float = 1.0) -> Statistic:
    """Returns F-beta of class `name`: (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP).

    The harmonic mean of precision and sensitivity in which sensitivity weighs beta times as much (van Rijsbergen,
    Information Retrieval, 1979). Undefined if no case has the class and none is given it.

    Raises:
        RequestError: beta is not a finite number above 0.
    """
    square = _square(beta)
    return _of_confusion(true, predicted, n_classes, lambda counts: as_floats(_f_beta(counts, square)[:, name]))


def class_precision(true: Classes, predicted: Classes, n_classes: int, name: int) -> Statistic:
    """Returns the share of the cases given class `name` that have it; undefined if none is given it."""
    truth, called = _checked(true, predicted, n_classes)
    return ratio((truth == name) & (called == name), called == name)


def class_sensitivity(true: Classes, predicted: Classes, n_classes: int, name: int) -> Statistic:
    """Returns the share of the cases of class `name` that are given it; undefined if it has none."""
    truth, called = _checked(true, predicted, n_classes)
    return ratio((truth == name) & (called == name), truth == name)


def class_specificity(true: Classes, predicted: Classes, n_classes: int, name: int) -> Statistic:
    """Returns the share of the cases of other classes that are not given class `name`; undefined if there are none."""
    truth, called = _checked(true, predicted, n_classes)
    return ratio((truth != name) & (called != name), truth != name)


def confusion_matrix(true: Classes, predicted: Classes, n_classes: int) -> npt.NDArray[np.int64]:
    """Returns the counts (classes, classes): rows are the true classes, columns the predicted ones.

    Raises:
        DatasetError: the arrays differ in length, or a class does not exist.
    """
    truth, called = _checked(true, predicted, n_classes)
    cells = np.bincount(truth * n_classes + called, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def _of_confusion(true: Classes, predicted: Classes, n_classes: int, reduce: Callable[[Floats], Floats]) -> Statistic:
    """Returns what `reduce` makes of confusion matrices (replicates, true classes, predicted classes)."""
    truth, called = _checked(true, predicted, n_classes)
    cells = np.eye(n_classes**2)[truth * n_classes + called]

    def statistic(weights: Weights) -> Floats:
        return reduce((as_floats(weights) @ cells).reshape(-1, n_classes, n_classes))

    return bounded(statistic, max(truth.size, n_classes**2))


def _f_beta(counts: Floats, square: float) -> Floats:
    """Returns F-beta of each class (replicates, classes), from beta squared."""
    return quotient((1 + square) * _diagonal(counts), square * counts.sum(axis=2) + counts.sum(axis=1))


def _square(beta: float) -> float:
    """Returns the square of a beta that F-beta can have."""
    if not 0 < beta < np.inf:
        raise RequestError(f"beta {beta} of F-beta is not a finite number above 0; 1 for F1")
    return beta**2


def _diagonal(counts: Floats) -> Floats:
    """Returns the correct cases of each class: (replicates, classes)."""
    return np.diagonal(counts, axis1=1, axis2=2)


def _mean(rates: Floats) -> Floats:
    """Returns the mean over the defined rates of each row, NaN where there is none."""
    defined = ~np.isnan(rates)
    return quotient(np.where(defined, rates, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def _checked(true: Classes, predicted: Classes, n_classes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns both as arrays (cases,).

    Raises:
        DatasetError: they differ in length, or a class does not exist.
    """
    truth, called = np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if truth.ndim != 1 or truth.shape != called.shape:
        raise DatasetError(f"true classes {truth.shape} and predicted ones {called.shape}: give one of each a case")
    for name, values in (("true", truth), ("predicted", called)):
        outside = values[(values < 0) | (values >= n_classes)]
        if outside.size:
            raise DatasetError(f"{name} class {outside[0]} is none of the classes 0 to {n_classes - 1}")
    return truth, called

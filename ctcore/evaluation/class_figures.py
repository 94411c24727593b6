"""The numbers of predicted classes and of class scores, as statistics of the cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.evaluation.statistics import calibration, classification, roc
from ctcore.evaluation.statistics.statistic import Floats, Statistic, as_floats, mean_of

BETA = 2.0
"""Of F-beta where nothing else is asked for: sensitivity weighs twice as much as precision."""


@dataclass(frozen=True, eq=False)
class ClassTable:
    """True and predicted classes.

    Attributes:
        names: of the classes.
        true: (cases,) index of the true class.
        predicted: (cases,) index of the predicted class.
    """

    names: tuple[str, ...]
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts (classes, classes): rows are the true classes, columns the predicted ones."""
        return classification.confusion_matrix(self.true, self.predicted, len(self.names))


def class_statistics(table: ClassTable, beta: float = BETA) -> dict[str, Statistic]:
    """Returns the statistics of predicted classes by name; a rate of a class is `rate/CLASS`, its mean `rate_macro`.

    Args:
        table: the classes.
        beta: of F-beta.
    """
    true, called, n = table.true, table.predicted, len(table.names)
    found: dict[str, Statistic] = {
        "accuracy": classification.accuracy(true, called, n),
        "balanced_accuracy": classification.balanced_accuracy(true, called, n),
        "macro_f1": classification.macro_f1(true, called, n),
        "macro_f_beta": classification.macro_f_beta(true, called, n, beta),
        "macro_precision": classification.macro_precision(true, called, n),
    }
    for index, name in enumerate(table.names):
        found[f"sensitivity/{name}"] = classification.class_sensitivity(true, called, n, index)
        found[f"specificity/{name}"] = classification.class_specificity(true, called, n, index)
        found[f"precision/{name}"] = classification.class_precision(true, called, n, index)
        found[f"f1/{name}"] = classification.class_f_beta(true, called, n, index)
        found[f"f_beta/{name}"] = classification.class_f_beta(true, called, n, index, beta)
    return found


def class_score_statistics(scores: Floats, true: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, Statistic]:
    """Returns the statistics of class scores by name.

    AUROC and average precision are of each class against the rest, by the class's own score; their means leave out
    classes in which they are undefined. Brier score and calibration error are of the scores as shares of their sum.

    Args:
        scores: (cases, classes) at least 0; the higher, the likelier the class.
        true: (cases,) index of the true class.
        names: of the classes.
    """
    areas = [roc.auroc(scores[:, k], true == k) for k in range(len(names))]
    precisions = [roc.average_precision(scores[:, k], true == k) for k in range(len(names))]
    shares = as_shares(scores)
    right = shares.argmax(axis=1) == true
    return {
        "one_vs_rest/auroc_macro": mean_of(areas),
        "one_vs_rest/average_precision_macro": mean_of(precisions),
        **{f"one_vs_rest/auroc/{name}": area for name, area in zip(names, areas, strict=True)},
        **{f"one_vs_rest/average_precision/{name}": one for name, one in zip(names, precisions, strict=True)},
        "brier_of_classes": calibration.brier_of_classes(shares, true),
        "ece_of_top_class": calibration.expected_calibration_error(shares.max(axis=1), right),
    }


def as_shares(scores: Floats) -> Floats:
    """Returns each row of scores (cases, classes), at least 0, divided by its sum; equal shares where all are 0."""
    total = scores.sum(axis=1, keepdims=True)
    equal = np.full(scores.shape, 1 / max(scores.shape[1], 1))
    return as_floats(np.clip(np.divide(scores, total, out=equal, where=total > 0), 0.0, 1.0))

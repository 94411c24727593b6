"""ROC and precision-recall curves and the areas under them.

AUROC is the area under the empirical ROC curve by trapezoids, which equals the Mann-Whitney statistic with ties counted
half (Hanley and McNeil, Radiology 143, 1982). AP is the step-wise sum of precision over recall, sum of
(R[i] - R[i-1]) P[i], without interpolation; lesions that no candidate hits have confidence 0, where the precision is
defined as 0, so they lower the recall that can be reached (as in picai_eval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Patient-level operating points, by falling threshold.

    Attributes:
        thresholds: score at or above which a case is called positive; the first is infinite.
        fpr: false positive rate (1 - specificity).
        tpr: true positive rate (sensitivity).
    """

    thresholds: Floats
    fpr: Floats
    tpr: Floats

    @property
    def area(self) -> float:
        """Area under the curve by trapezoids."""
        return float(np.sum(np.diff(self.fpr) * (self.tpr[1:] + self.tpr[:-1])) / 2)


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Lesion-level operating points, by falling threshold.

    Attributes:
        thresholds: confidence at or above which a candidate counts.
        precision: hits / candidates that count; 0 at threshold 0, which only missed lesions have.
        recall: hits / lesions; at threshold 0 the missed lesions are counted too and it is 1.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats

    @property
    def area(self) -> float:
        """Average precision: the sum of the steps of recall, each times its precision."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


def roc_curve(scores: Sequence[float] | Floats, positive: Sequence[bool] | npt.NDArray[np.bool_]) -> RocCurve | None:
    """Returns the ROC curve of case scores, or None if no case or every case is positive."""
    truth = np.asarray(positive, dtype=bool)
    if truth.all() or not truth.any():
        return None
    thresholds, positives, negatives = _cumulated(np.asarray(scores, dtype=np.float64), truth)
    return RocCurve(
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0.0], negatives / negatives[-1]]),
        np.concatenate([[0.0], positives / positives[-1]]),
    )


def precision_recall_curve(findings: Sequence[tuple[bool, float]]) -> PrecisionRecallCurve | None:
    """Returns the curve of all cases' findings (is a lesion, confidence), or None if there is no lesion."""
    truth = np.array([is_lesion for is_lesion, _ in findings], dtype=bool)
    if not truth.any():
        return None
    confidences = np.array([confidence for _, confidence in findings], dtype=np.float64)
    thresholds, lesions, others = _cumulated(confidences, truth)
    precision = np.where(thresholds == 0, 0.0, lesions / (lesions + others))
    return PrecisionRecallCurve(thresholds, precision, lesions / lesions[-1])


def auroc(scores: Sequence[float] | Floats, positive: Sequence[bool] | npt.NDArray[np.bool_]) -> float | None:
    """Returns the area under the ROC curve, or None if no case or every case is positive."""
    curve = roc_curve(scores, positive)
    return None if curve is None else curve.area


def average_precision(findings: Sequence[tuple[bool, float]]) -> float | None:
    """Returns the average precision of all cases' findings (is a lesion, confidence), or None without a lesion."""
    curve = precision_recall_curve(findings)
    return None if curve is None else curve.area


def _cumulated(values: Floats, truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Returns the distinct values from high to low and the numbers of true and of false items at or above each."""
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.flatnonzero(np.append(np.diff(values) != 0, True))
    true = np.cumsum(truth)[last].astype(np.float64)
    return values[last], true, last + 1.0 - true

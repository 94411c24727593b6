"""ROC, precision-recall and FROC curves, and the areas under the first two.

AUROC is the area under the empirical ROC curve by trapezoids, which equals the Mann-Whitney statistic with ties counted
half (Hanley and McNeil, Radiology 143, 1982). AP is the step-wise sum of precision over recall, sum of
(R[i] - R[i-1]) P[i], without interpolation; lesions that no candidate hits have confidence 0, where the precision is
defined as 0, so they lower the recall that can be reached (as in picai_eval). FROC is lesion sensitivity over false
positives a case (Bunch et al., Proc. SPIE 127, 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError
from ctcore.evaluation.statistics.statistic import Floats


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


@dataclass(frozen=True, eq=False)
class FrocCurve:
    """Lesion-level operating points, by falling threshold.

    Attributes:
        thresholds: confidence at or above which a candidate counts; the first is infinite, all are above 0.
        false_positives_per_case: candidates that hit no lesion / cases, positive and negative ones.
        sensitivity: hits / lesions.
    """

    thresholds: Floats
    false_positives_per_case: Floats
    sensitivity: Floats


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


def froc_curve(findings: Sequence[tuple[bool, float]], n_cases: int) -> FrocCurve | None:
    """Returns the FROC curve of all cases' findings (is a lesion, confidence), or None if there is no lesion.

    Every confidence above 0 is a point, the lowest too: with it all candidates count, and the curve ends there. Lesions
    without a hit have confidence 0, which is no threshold. picai_eval takes every distinct confidence for one and then
    overwrites the last point with `TP[-1] = TP[-2]; FP[-1] = inf`, so that the missed lesions, at confidence 0, do not
    become hits. Where no lesion is missed the last point is a real one: its hits and false positives are lost, and
    lesion sensitivity at many false positives comes out too low. Without a second threshold it returns no curve at all.

    Args:
        findings: of all cases.
        n_cases: number of all cases, with and without findings.

    Raises:
        DatasetError: there are findings but no cases.
    """
    if n_cases < 1 and findings:
        raise DatasetError(f"{len(findings)} findings of {n_cases} cases; give the number of all cases")
    lesions = sum(is_lesion for is_lesion, _ in findings)
    if not lesions:
        return None
    candidates = [finding for finding in findings if finding[1] > 0]
    truth = np.array([is_lesion for is_lesion, _ in candidates], dtype=bool)
    confidences = np.array([confidence for _, confidence in candidates], dtype=np.float64)
    thresholds, hits, false_positives = _cumulated(confidences, truth)
    return FrocCurve(
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0.0], false_positives / n_cases]),
        np.concatenate([[0.0], hits / lesions]),
    )


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
    last = np.flatnonzero(np.diff(values, append=-np.inf) != 0) if values.size else np.empty(0, dtype=np.intp)
    true = np.cumsum(truth)[last].astype(np.float64)
    return values[last], true, last + 1.0 - true

"""Lesion-level statistics of the findings of all cases.

A finding is a lesion with the confidence of the candidate that hits it (0 if none does), or a candidate that hits none
(a false positive). Candidates that were ignored are no findings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.statistics.ranking import Ranking, last_reached
from ctcore.evaluation.statistics.statistic import (
    RATE_TOLERANCE,
    Bools,
    Floats,
    Statistic,
    Weights,
    as_floats,
    bounded,
    quotient,
    ratio,
)


@dataclass(frozen=True, eq=False)
class Findings:
    """The findings of all cases.

    Attributes:
        case: (findings,) index of the case each belongs to.
        is_lesion: (findings,) whether it is a lesion; else it is a false positive.
        confidence: (findings,) of the candidate; 0 for a lesion that none hits.
        n_cases: number of all cases, with and without findings.

    Raises:
        DatasetError: the arrays differ in length, a case does not exist, or a confidence is negative or not finite.
    """

    case: npt.NDArray[np.intp]
    is_lesion: Bools
    confidence: Floats
    n_cases: int

    def __post_init__(self) -> None:
        if not self.case.shape == self.is_lesion.shape == self.confidence.shape or self.case.ndim != 1:
            shapes = f"{self.case.shape}, {self.is_lesion.shape} and {self.confidence.shape}"
            raise DatasetError(f"case, is_lesion and confidence have the shapes {shapes}; give one of each a finding")
        outside = (self.case < 0) | (self.case >= self.n_cases)
        if outside.any():
            raise DatasetError(f"a finding is of case {self.case[outside][0]}, but there are {self.n_cases} cases")
        wrong = ~(np.isfinite(self.confidence) & (self.confidence >= 0))
        if wrong.any():
            raise DatasetError(f"confidence {self.confidence[wrong][0]} of a finding is not a finite number from 0 on")

    @classmethod
    def of_cases(cls, findings: Sequence[Sequence[tuple[bool, float]]]) -> Findings:
        """Gathers the (is a lesion, confidence) of every case."""
        flat = [(index, *finding) for index, made in enumerate(findings) for finding in made]
        return cls(
            np.array([index for index, _, _ in flat], dtype=np.intp),
            np.array([is_lesion for _, is_lesion, _ in flat], dtype=bool),
            np.array([confidence for _, _, confidence in flat], dtype=np.float64),
            len(findings),
        )

    def followed_by(self, other: Findings) -> Findings:
        """Returns the findings of these cases and then of another system's, whose case indices are moved behind."""
        return Findings(
            np.concatenate([self.case, other.case + self.n_cases]),
            np.concatenate([self.is_lesion, other.is_lesion]),
            np.concatenate([self.confidence, other.confidence]),
            self.n_cases + other.n_cases,
        )

    def on_rank_scale(self) -> Findings:
        """Returns the findings with each confidence c > 0 replaced by the share of all such confidences <= c.

        The order stays, and with it AP and FROC; two systems come to lie on one scale.
        """
        candidates = np.sort(self.confidence[self.confidence > 0])
        ranks = np.searchsorted(candidates, self.confidence, side="right") / max(candidates.size, 1)
        return Findings(self.case, self.is_lesion, ranks, self.n_cases)

    def per_case(self, chosen: Bools) -> Floats:
        """Returns how many of the chosen findings (findings,) each case has: (cases,)."""
        return np.bincount(self.case[chosen], minlength=self.n_cases).astype(np.float64)


def average_precision(findings: Findings) -> Statistic:
    """Returns the average precision: the sum over falling confidences of (R[i] - R[i-1]) P[i], not interpolated.

    Lesions that no candidate hits have precision 0, as in picai_eval. Undefined without a lesion.
    """

    def area(hits: Floats, false_positives: Floats, lesions: Floats, _: Floats) -> Floats:
        called = hits + false_positives
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        return quotient((np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1), lesions)

    return _by_confidence(findings, area)


def sensitivity_at_false_positives(findings: Findings, false_positives_per_case: float) -> Statistic:
    """Returns the highest lesion sensitivity among the confidences with at most so many false positives a case.

    A point of the FROC curve, not interpolated; 0 where already the most confident candidates are too many false
    positives. All cases count, positive and negative ones. Undefined without a lesion.

    Args:
        findings: of all cases.
        false_positives_per_case: above 0.

    Raises:
        RequestError: it is not.
    """
    target = false_positives_per_case
    if not 0 < target < np.inf:
        raise RequestError(f"{target} false positives a case is not a finite number above 0; 0.5 for example")

    def highest(hits: Floats, false_positives: Floats, lesions: Floats, cases: Floats) -> Floats:
        reached = false_positives <= target * cases[:, None] * (1 + RATE_TOLERANCE)
        return quotient(last_reached(reached, hits, before=0.0), lesions)

    return _by_confidence(findings, highest)


def lesion_sensitivity(findings: Findings, chosen: Bools | None = None, threshold: float = 0.0) -> Statistic:
    """Returns the share of lesions that are hit with a confidence above 0 and at or above the threshold.

    Args:
        findings: of all cases.
        chosen: (findings,) which lesions to look at, for instance those of one size; by default all.
        threshold: smallest confidence of a hit.
    """
    lesions = findings.is_lesion if chosen is None else findings.is_lesion & chosen
    return ratio(findings.per_case(lesions & _called(findings, threshold)), findings.per_case(lesions))


def false_positives_per_case(findings: Findings, members: Sequence[bool] | Bools, threshold: float = 0.0) -> Statistic:
    """Returns the mean number of false positives, of confidence >= threshold, of the cases that are members.

    Args:
        findings: of all cases.
        members: (cases,) the cases to look at, for instance the negative ones.
        threshold: smallest confidence that counts.
    """
    inside = np.asarray(members, dtype=bool)
    false = ~findings.is_lesion & _called(findings, threshold)
    return ratio(findings.per_case(false) * inside, inside)


SMALL_MM, LARGE_MM = 20.0, 40.0
"""Bounds of the size bins, those between the stages T1, T2 and T3 (AJCC, 8th edition, which counts 2 cm as T1)."""


def size_bins(sizes_mm: npt.ArrayLike) -> dict[str, Bools]:
    """Returns which findings are lesions of which size: below 2 cm, 2 to 4 cm (both included), above 4 cm.

    Args:
        sizes_mm: (findings,) longest diameter in mm; NaN where the finding is no lesion.
    """
    sizes = as_floats(sizes_mm)
    return {
        "< 2 cm": sizes < SMALL_MM,
        "2-4 cm": (sizes >= SMALL_MM) & (sizes <= LARGE_MM),
        "> 4 cm": sizes > LARGE_MM,
    }


def _called(findings: Findings, threshold: float) -> Bools:
    """Returns which findings have a candidate at or above the threshold."""
    return (findings.confidence > 0) & (findings.confidence >= threshold)


def _by_confidence(findings: Findings, reduce: Callable[[Floats, Floats, Floats, Floats], Floats]) -> Statistic:
    """Returns what `reduce` makes of the counts at falling confidences above 0.

    It is called with hits and false positives (replicates, confidences) at or above each confidence, the number of
    lesions and the number of cases (replicates,).
    """
    called = np.flatnonzero(findings.confidence > 0)
    ranking = Ranking.of(findings.confidence[called])
    case, is_lesion = findings.case[called][ranking.order], findings.is_lesion[called][ranking.order]
    totals = np.stack([findings.per_case(findings.is_lesion), np.ones(findings.n_cases)], axis=1)

    def statistic(weights: Weights) -> Floats:
        counts = weights[:, case]
        lesions, cases = (as_floats(weights) @ totals).T
        return reduce(ranking.cumulated(counts * is_lesion), ranking.cumulated(counts * ~is_lesion), lesions, cases)

    return bounded(statistic, max(called.size, findings.n_cases))

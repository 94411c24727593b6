"""Matching of lesion candidates and lesions: the rules of the PANORAMA and PI-CAI challenges.

The assignment of candidates to lesions first makes as many pairs of sufficient overlap as possible, then the largest
total overlap (SciPy's linear sum assignment). A paired candidate is a hit. A candidate without pair that overlaps some
lesion enough is ignored or a false positive, by the rule; any other is a false positive. A lesion without pair is
missed, and enters the precision-recall curve with confidence 0.

Source: Saha et al., "Artificial intelligence and radiologists in prostate cancer detection on MRI (PI-CAI)", Lancet
Oncology 25(7), 2024; package picai_eval 1.4.13, whose decisions these are (a test compares them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.errors import RequestError
from ctcore.evaluation.components import CaseComponents

_SMOOTHING = 1e-8
"""Added to numerator and denominator in the assignment, as picai_eval does, so that equal totals are split alike."""


class Outcome(StrEnum):
    """What became of a candidate."""

    HIT = "hit"
    FALSE_POSITIVE = "false_positive"
    IGNORED = "ignored"


@dataclass(frozen=True)
class MatchingRule:
    """When a candidate hits a lesion.

    Attributes:
        min_overlap: smallest overlap of a hit, above 0 and at most 1.
        overlap: `iou` (intersection over union) or `dice`.
        further: what a candidate is that overlaps a lesion enough but is not the one paired with it: `ignored`, or a
            `false_positive` (picai_eval with `allow_unmatched_candidates_with_minimal_overlap=False`).

    Raises:
        RequestError: a value is none of these.
    """

    min_overlap: float = 0.15
    overlap: Literal["iou", "dice"] = "iou"
    further: Literal["ignored", "false_positive"] = "ignored"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_overlap) and 0 < self.min_overlap <= 1):
            raise RequestError(
                f"minimum overlap {self.min_overlap} is not above 0 and at most 1; the challenge's value is 0.15"
            )
        if self.overlap not in ("iou", "dice"):
            raise RequestError(f"overlap '{self.overlap}' is unknown; choose iou or dice")
        if self.further not in ("ignored", "false_positive"):
            raise RequestError(f"further candidates cannot be '{self.further}'; choose ignored or false_positive")


RULES: Mapping[str, MatchingRule] = MappingProxyType({"panorama": MatchingRule(0.15), "picai": MatchingRule(0.10)})
"""The rules of the two challenges by name; they differ in the smallest IoU alone."""


@dataclass(frozen=True)
class CandidateMatch:
    """One candidate of a detection map.

    Attributes:
        confidence: maximum of its voxels.
        outcome: what became of it.
        lesion: index of the lesion it hits (in scan order), or None.
        overlap: overlap (by the rule) with the lesion it hits, 0 without.
    """

    confidence: float
    outcome: Outcome
    lesion: int | None
    overlap: float


@dataclass(frozen=True)
class CaseMatch:
    """The candidates of one case against its lesions.

    Attributes:
        candidates: in scan order.
        n_lesions: number of lesions in the label.
        detection_max: maximum of the detection map.
    """

    candidates: tuple[CandidateMatch, ...]
    n_lesions: int
    detection_max: float

    def count(self, outcome: Outcome) -> int:
        """Returns the number of candidates with an outcome."""
        return sum(candidate.outcome is outcome for candidate in self.candidates)

    @property
    def n_missed(self) -> int:
        """Number of lesions that no candidate hits."""
        return self.n_lesions - self.count(Outcome.HIT)

    @property
    def lesion_confidences(self) -> list[float]:
        """For every lesion the confidence of the candidate that hits it, 0 without one."""
        confidences = [0.0] * self.n_lesions
        for candidate in self.candidates:
            if candidate.lesion is not None:
                confidences[candidate.lesion] = candidate.confidence
        return confidences

    @property
    def findings(self) -> list[tuple[bool, float]]:
        """What the precision-recall curve is made of: (is a lesion, confidence) of hits, false positives and misses."""
        made = [
            (candidate.outcome is Outcome.HIT, candidate.confidence)
            for candidate in self.candidates
            if candidate.outcome is not Outcome.IGNORED
        ]
        return made + [(True, 0.0)] * self.n_missed


def match(components: CaseComponents, rule: MatchingRule) -> CaseMatch:
    """Matches the candidates of a case with its lesions."""
    from scipy.optimize import linear_sum_assignment

    exact, smoothed = overlaps(components, rule.overlap)
    enough = (smoothed >= rule.min_overlap) & (components.common > 0)
    # One more for every possible pair: the number of pairs outweighs any gain of overlap.
    pairs = zip(*linear_sum_assignment(np.where(enough, smoothed + 1, 0), maximize=True), strict=True)
    lesion_of = {int(candidate): int(lesion) for lesion, candidate in pairs if enough[lesion, candidate]}
    near_lesion = np.asarray(enough.any(axis=0))
    matches = []
    for index, candidate in enumerate(components.candidates):
        hit = lesion_of.get(index)
        if hit is not None:
            matches.append(CandidateMatch(candidate.confidence, Outcome.HIT, hit, float(exact[hit, index])))
        else:
            outcome = Outcome(rule.further) if near_lesion[index] else Outcome.FALSE_POSITIVE
            matches.append(CandidateMatch(candidate.confidence, outcome, None, 0.0))
    return CaseMatch(tuple(matches), len(components.lesions), components.detection_max)


def overlaps(
    components: CaseComponents, kind: Literal["iou", "dice"]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the overlap of every (lesion, candidate), exact and as smoothed for the assignment."""
    lesion = np.array([region.voxels for region in components.lesions], dtype=np.int64)[:, None]
    candidate = np.array([region.voxels for region in components.candidates], dtype=np.int64)[None, :]
    common: npt.NDArray[Any] = components.common
    if kind == "dice":
        numerator, denominator = 2 * common, lesion + candidate
    else:
        numerator, denominator = common, lesion + candidate - common
    return numerator / denominator, (numerator + _SMOOTHING) / (denominator + _SMOOTHING)

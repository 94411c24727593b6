"""Matching of lesion candidates and lesions: the rule of the PANORAMA and PI-CAI challenges.

A candidate is a 26-connected component of detection map > 0, its confidence the component's maximum. A lesion is a
26-connected component of the label. The assignment of candidates to lesions first makes as many pairs with
IoU >= min_overlap as possible, then the largest total overlap (SciPy's linear sum assignment). A paired candidate is a
hit. A candidate without pair is ignored if it overlaps some lesion enough, else it is a false positive. A lesion
without pair is missed, and enters the precision-recall curve with confidence 0.

Source: Saha et al., "Artificial intelligence and radiologists in prostate cancer detection on MRI (PI-CAI)", Lancet
Oncology 25(7), 2024; package picai_eval 1.4.13, whose decisions these are (a test compares them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import DatasetError
from ctcore.geometry import Box

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.int8)
"""Connectivity of candidates and lesions: 26 neighbours."""

CONFIDENCE_TOLERANCE = 1e-6
"""How far above 1 a confidence may be, for rounding of stored values."""

_IOU_SMOOTHING = 1e-8
"""Added to intersection and union in the assignment, as picai_eval does, so that equal totals are split alike."""


class Outcome(StrEnum):
    """What became of a candidate."""

    HIT = "hit"
    FALSE_POSITIVE = "false_positive"
    IGNORED = "ignored"


@dataclass(frozen=True)
class CandidateMatch:
    """One candidate of a detection map.

    Attributes:
        confidence: maximum of its voxels.
        outcome: what became of it.
        lesion: index of the lesion it hits (in scan order), or None.
        overlap: IoU with the lesion it hits, 0 without.
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
    def findings(self) -> list[tuple[bool, float]]:
        """What the precision-recall curve is made of: (is a lesion, confidence) of hits, false positives and misses."""
        made = [
            (candidate.outcome is Outcome.HIT, candidate.confidence)
            for candidate in self.candidates
            if candidate.outcome is not Outcome.IGNORED
        ]
        return made + [(True, 0.0)] * self.n_missed


def match_case(detection_map: npt.NDArray[Any], lesion: npt.NDArray[np.bool_], min_overlap: float) -> CaseMatch:
    """Matches the candidates of a detection map with the lesions of a label.

    Args:
        detection_map: (z, y, x) confidences, 0..1, each candidate's voxels holding one value.
        lesion: (z, y, x) lesion voxels on the same grid.
        min_overlap: smallest IoU of a hit, above 0 and at most 1.

    Raises:
        DatasetError: the map holds NaN, a negative value, a value above 1, or fewer components than distinct values,
            as a softmax does.
    """
    from scipy import ndimage
    from scipy.optimize import linear_sum_assignment

    detection_map = detection_map.astype(np.float32, copy=False)
    detection_max = _checked_maximum(detection_map)
    box = Box.of_mask((detection_map > 0) | lesion)
    if box is None:
        return CaseMatch((), 0, 0.0)
    detection_map, lesion = detection_map[box.slices], lesion[box.slices]  # does not change the scan order

    candidates, n_candidates = ndimage.label(detection_map > 0, structure=NEIGHBOURS)
    n_values = np.unique(detection_map[candidates > 0]).size
    if n_candidates < n_values:
        raise DatasetError(
            f"the map has {n_values} distinct values on {n_candidates} components: it looks like a softmax, not a"
            " detection map; give maps in which every candidate holds one value"
        )
    numbers = np.arange(1, n_candidates + 1)
    confidences = np.asarray(ndimage.maximum(detection_map, candidates, numbers)) if n_candidates else np.empty(0)
    lesions, n_lesions = ndimage.label(lesion, structure=NEIGHBOURS)

    pair = lesions.astype(np.int64) * (n_candidates + 1) + candidates
    counts = np.bincount(pair.ravel(), minlength=(n_lesions + 1) * (n_candidates + 1))
    intersection = counts.reshape(n_lesions + 1, n_candidates + 1)
    sizes_lesion, sizes_candidate = intersection.sum(axis=1)[1:, None], intersection.sum(axis=0)[None, 1:]
    intersection = intersection[1:, 1:]
    union = sizes_lesion + sizes_candidate - intersection
    overlap = (intersection + _IOU_SMOOTHING) / (union + _IOU_SMOOTHING)
    enough = (overlap >= min_overlap) & (intersection > 0)

    # One more for every possible pair: the number of pairs outweighs any gain of overlap.
    pairs = zip(*linear_sum_assignment(np.where(enough, overlap + 1, 0), maximize=True), strict=True)
    lesion_of = {int(candidate): int(lesion) for lesion, candidate in pairs if enough[lesion, candidate]}
    near_lesion = enough.any(axis=0)
    matches = []
    for candidate, confidence in enumerate(confidences):
        hit = lesion_of.get(candidate)
        if hit is not None:
            iou = float(intersection[hit, candidate] / union[hit, candidate])
            matches.append(CandidateMatch(float(confidence), Outcome.HIT, hit, iou))
        else:
            outcome = Outcome.IGNORED if near_lesion[candidate] else Outcome.FALSE_POSITIVE
            matches.append(CandidateMatch(float(confidence), outcome, None, 0.0))
    return CaseMatch(tuple(matches), n_lesions, detection_max)


def _checked_maximum(detection_map: npt.NDArray[np.float32]) -> float:
    """Returns the maximum of a map whose values are confidences."""
    low, high = float(detection_map.min()), float(detection_map.max())  # a NaN comes through both
    if math.isnan(low) or math.isnan(high):
        raise DatasetError("the detection map holds NaN; write confidences within 0..1")
    if low < 0 or high > 1 + CONFIDENCE_TOLERANCE:
        raise DatasetError(f"the detection map holds values from {low:g} to {high:g}; write confidences within 0..1")
    return high

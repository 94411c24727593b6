"""Lesion candidates of a case: settings, result and checks around `extraction`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ctcore.errors import ProbabilityError

CandidateMode = Literal["dynamic-v2", "dynamic", "dynamic-fast"]

PROBABILITY_TOLERANCE = 1e-4
"""How far resampling and half precision may carry a probability outside 0..1; it is then clipped."""


class CandidateSettings(BaseModel):
    """How lesion candidates are cut out of a probability.

    Attributes:
        mode: `dynamic-v2` and `dynamic` lower the threshold from candidate to candidate (`dynamic` gives up when only
            components of at most `min_voxels` pass, `dynamic-v2` removes them and goes on); `dynamic-fast` uses one
            threshold for the whole case, and neither stops at `num_lesions_to_extract` nor at a low probability.
        dynamic_threshold_factor: the threshold is the highest remaining probability divided by this.
        min_voxels: components of this many voxels or fewer are not candidates.
        num_lesions_to_extract: the `dynamic` modes stop after this many candidates.
        min_confidence: candidates below this are dropped; 0 keeps the reference implementation's answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: CandidateMode = "dynamic-v2"
    dynamic_threshold_factor: float = Field(default=2.5, gt=1.0, allow_inf_nan=False)
    min_voxels: int = Field(default=10, ge=0)
    num_lesions_to_extract: int = Field(default=5, ge=1)
    min_confidence: float = Field(default=0.05, ge=0.0, le=1.0, allow_inf_nan=False)


@dataclass(frozen=True, eq=False)
class CandidateMap:
    """The lesion candidates of one case.

    Attributes:
        labels: (z, y, x) integers: 0 outside, k inside the k-th candidate.
        confidences: of candidates 1..n, from high to low; all above 0.
    """

    labels: npt.NDArray[np.signedinteger[Any]]
    confidences: tuple[float, ...]

    @property
    def maximum(self) -> float:
        """The highest confidence, 0 without candidates: the maximum of the detection map."""
        return self.confidences[0] if self.confidences else 0.0


def extract_candidates(probability: npt.NDArray[Any], settings: CandidateSettings) -> CandidateMap:
    """Cuts lesion candidates out of a lesion probability.

    The candidates are those that report-guided-annotation finds on the whole volume, less its entries of confidence 0
    (`dynamic` answers one that covers every voxel when only small components are left) and those below
    `min_confidence`. Candidates of equal confidence keep its order.

    Args:
        probability: (z, y, x) lesion probability, 0..1.
        settings: the mode and its parameters.

    Raises:
        ProbabilityError: the array is not 3-D, not finite or outside 0..1.
    """
    from ctcore.detection.extraction import dynamic_blobs, static_blobs

    probability = _checked(probability)
    highest = probability.max()
    blobs = []
    if highest > 0 and float(highest) >= settings.min_confidence:
        factor, min_voxels, min_confidence = (
            settings.dynamic_threshold_factor,
            settings.min_voxels,
            settings.min_confidence,
        )
        if settings.mode == "dynamic-fast":
            blobs = static_blobs(probability, highest / factor, min_voxels)
        else:
            blobs = dynamic_blobs(
                probability,
                factor,
                min_voxels,
                settings.num_lesions_to_extract,
                lowest=min_confidence,
                remove_small=settings.mode == "dynamic-v2",
            )
        blobs = [blob for blob in blobs if blob.confidence >= min_confidence]
        blobs.sort(key=lambda blob: -blob.confidence)

    integer = np.int16 if len(blobs) <= np.iinfo(np.int16).max else np.int32
    labels = np.zeros(probability.shape, integer)
    for number, blob in enumerate(blobs, start=1):
        labels[blob.slices][blob.mask] = number
    return CandidateMap(labels, tuple(blob.confidence for blob in blobs))


def _checked(probability: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns the probability as C-ordered float32 in 0..1."""
    if probability.ndim != 3 or probability.size == 0:
        raise ProbabilityError(f"a lesion probability of shape {probability.shape} is not a (z, y, x) volume")
    probability = np.ascontiguousarray(probability, dtype=np.float32)
    low, high = float(probability.min()), float(probability.max())  # a NaN comes through both
    if not (low >= -PROBABILITY_TOLERANCE and high <= 1 + PROBABILITY_TOLERANCE):
        raise ProbabilityError(
            f"a lesion probability from {low:g} to {high:g} is not within 0..1; apply the softmax first"
        )
    return probability if low >= 0 and high <= 1 else np.clip(probability, 0, 1)

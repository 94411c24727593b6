"""Lesion candidates of a case: settings, result, and the steps from a probability to them (see docs/detection.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.detection.components import Aggregation, Blob
from ctcore.errors import GeometryError, ProbabilityError, RequestError
from ctcore.volume import Geometry

CandidateMode = Literal[
    "dynamic-v2", "dynamic", "dynamic-fast", "dynamic-v2-mean", "dynamic-mean", "dynamic-fast-mean", "fixed"
]

PROBABILITY_TOLERANCE = 1e-4
"""How far resampling and half precision may carry a probability outside 0..1; it is then clipped."""

VOLUME_TOLERANCE = 1e-6
"""Share of the least volume that rounding may take from a component of exactly that volume."""

FLAG_NOT_GATED = "candidates_not_gated"
"""The candidates should have been kept near the pancreas, but none was predicted: they may lie anywhere."""


class CandidateSettings(BaseModel):
    """How lesion candidates are cut out of a probability.

    Attributes:
        mode: report-guided-annotation's. `dynamic-v2` and `dynamic` lower the threshold from candidate to candidate
            (`dynamic` gives up when only components of at most `min_voxels` pass, `dynamic-v2` removes them and goes
            on); `dynamic-fast` uses one threshold for the whole case, `fixed` the same for all cases, and neither stops
            at `num_lesions_to_extract` nor at a low probability. Confidences are highest, with `-mean` mean
            probabilities.
        fixed_threshold: lowest probability of a voxel, rounded to float32; for `fixed` alone. At 0, all voxels above 0.
        dynamic_threshold_factor: the threshold is the highest remaining probability divided by this.
        min_voxels: components of this many voxels or fewer are not candidates.
        min_volume_ml: components smaller than this are not candidates, either.
        num_lesions_to_extract: the modes with a falling threshold stop after this many candidates.
        remove_adjacent_candidates: whether those modes drop a component that touches a candidate.
        min_confidence: candidates below this are dropped; 0 keeps the reference implementation's answer.
        smoothing_sigma_mm: standard deviation of a Gaussian by which the probability is smoothed first.
        pancreas_gate_mm: the probability counts only within this distance of the predicted pancreas.
        one_per_component: whether candidates that touch become one, of the highest confidence among them, so that the
            detection map holds one value per component (26 neighbours).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: CandidateMode = "dynamic-v2"
    fixed_threshold: float | None = Field(default=None, ge=0.0, le=1.0, allow_inf_nan=False)
    dynamic_threshold_factor: float = Field(default=2.5, gt=1.0, allow_inf_nan=False)
    min_voxels: int = Field(default=10, ge=0)
    min_volume_ml: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    num_lesions_to_extract: int = Field(default=5, ge=1)
    remove_adjacent_candidates: bool = True
    min_confidence: float = Field(default=0.05, ge=0.0, le=1.0, allow_inf_nan=False)
    smoothing_sigma_mm: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    pancreas_gate_mm: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    one_per_component: bool = False

    @model_validator(mode="after")
    def _agree(self) -> CandidateSettings:
        if (self.mode == "fixed") != (self.fixed_threshold is not None):
            raise ValueError(
                f"mode '{self.mode}' with fixed_threshold={self.fixed_threshold}; give a threshold with mode 'fixed',"
                " and with no other"
            )
        if not np.float32(self.dynamic_threshold_factor) > 1:  # a threshold equal to the peak removes nothing, for ever
            raise ValueError(
                f"dynamic_threshold_factor={self.dynamic_threshold_factor!r} is 1 in float32; give at least 1.0001"
            )
        return self


@dataclass(frozen=True, eq=False)
class CandidateMap:
    """The lesion candidates of one case.

    Attributes:
        labels: (z, y, x) integers: 0 outside, k inside the k-th candidate.
        confidences: of candidates 1..n, from high to low; all above 0.
        flags: what a reader must know of how they were found.
    """

    labels: npt.NDArray[np.signedinteger[Any]]
    confidences: tuple[float, ...]
    flags: tuple[str, ...] = ()

    @property
    def maximum(self) -> float:
        """The highest confidence, 0 without candidates: the maximum of the detection map."""
        return self.confidences[0] if self.confidences else 0.0


def extract_candidates(
    probability: npt.NDArray[Any],
    settings: CandidateSettings,
    *,
    geometry: Geometry | None = None,
    pancreas: npt.NDArray[Any] | None = None,
) -> CandidateMap:
    """Cuts lesion candidates out of a lesion probability.

    In this order, where the settings ask for it: smoothing, the pancreas gate, extraction, the least confidence, one
    candidate per component. Extraction gives what report-guided-annotation gives for the whole volume in float32, less
    its entries of confidence 0 (`dynamic` answers one that covers every voxel when only small components are left).
    Candidates of equal confidence keep its order.

    Args:
        probability: (z, y, x) lesion probability, 0..1.
        settings: the mode and its parameters.
        geometry: the probability's grid; needed by settings in mm and ml.
        pancreas: (z, y, x) predicted pancreas, non-zero inside, on the same grid; needed by `pancreas_gate_mm`. Where
            it is empty nothing is gated, and the result is flagged `FLAG_NOT_GATED`.

    Raises:
        ProbabilityError: the probability is not 3-D, not finite or outside 0..1.
        GeometryError: geometry or pancreas is of another shape.
        RequestError: a setting needs the geometry or the pancreas, which is not given.
    """
    probability = _checked(probability)
    _check_grid(probability.shape, settings, geometry, pancreas)
    flags: tuple[str, ...] = ()
    if settings.smoothing_sigma_mm is not None and geometry is not None:
        from ctcore.detection.smoothing import smoothed

        probability = smoothed(probability, settings.smoothing_sigma_mm, geometry.spacing_zyx)
    if settings.pancreas_gate_mm is not None and geometry is not None and pancreas is not None:
        from ctcore.detection.gate import gated

        near = gated(probability, pancreas, settings.pancreas_gate_mm, geometry.spacing_zyx)
        if near is None:
            flags = (FLAG_NOT_GATED,)
        else:
            probability = near
    blobs = [blob for blob in _blobs(probability, settings, geometry) if blob.confidence >= settings.min_confidence]
    blobs.sort(key=lambda blob: -blob.confidence)

    integer = np.int16 if len(blobs) <= np.iinfo(np.int16).max else np.int32
    labels = np.zeros(probability.shape, integer)
    for number, blob in enumerate(blobs, start=1):
        labels[blob.slices][blob.mask] = number
    confidences = tuple(blob.confidence for blob in blobs)
    if settings.one_per_component:
        from ctcore.detection.merging import one_per_component

        labels, confidences = one_per_component(labels, confidences)
    return CandidateMap(labels, confidences, flags)


def _blobs(probability: npt.NDArray[np.float32], settings: CandidateSettings, geometry: Geometry | None) -> list[Blob]:
    """Returns what the mode finds, in its order."""
    from ctcore.detection.extraction import DynamicSearch, dynamic_blobs, static_blobs

    factor, min_voxels = settings.dynamic_threshold_factor, _min_voxels(settings, geometry)
    if settings.fixed_threshold is not None:
        return static_blobs(probability, np.float32(settings.fixed_threshold), min_voxels, "max")
    aggregation: Aggregation = "mean" if settings.mode.endswith("-mean") else "max"
    mode = settings.mode.removesuffix("-mean")
    if mode == "dynamic-fast":
        return static_blobs(probability, np.float32(probability.max() / factor), min_voxels, aggregation)
    search = DynamicSearch(
        factor=factor,
        min_voxels=min_voxels,
        num_lesions=settings.num_lesions_to_extract,
        lowest=settings.min_confidence,
        aggregation=aggregation,
        remove_small=mode == "dynamic-v2",
        remove_adjacent=settings.remove_adjacent_candidates,
    )
    return dynamic_blobs(probability, search)


def _min_voxels(settings: CandidateSettings, geometry: Geometry | None) -> int:
    """Returns the most voxels of a component that is too small by `min_voxels` or by `min_volume_ml`."""
    if settings.min_volume_ml is None or geometry is None:
        return settings.min_voxels
    fewest = math.ceil(settings.min_volume_ml / geometry.voxel_volume_ml * (1 - VOLUME_TOLERANCE))
    return max(settings.min_voxels, fewest - 1)


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


def _check_grid(
    shape: tuple[int, ...],
    settings: CandidateSettings,
    geometry: Geometry | None,
    pancreas: npt.NDArray[Any] | None,
) -> None:
    """Refuses what does not lie on the probability's grid, and settings that lack what they need."""
    if geometry is not None and geometry.shape != shape:
        raise GeometryError(f"a lesion probability of shape {shape} does not lie on a grid of {geometry.shape}")
    if pancreas is not None and pancreas.shape != shape:
        raise GeometryError(f"a pancreas of shape {pancreas.shape} does not lie on the probability's grid of {shape}")
    if geometry is None:
        for name in ("min_volume_ml", "smoothing_sigma_mm", "pancreas_gate_mm"):
            value = getattr(settings, name)
            if value is not None:
                raise RequestError(f"{name}={value:g} needs the voxel spacing; give the geometry of the probability")
    if settings.pancreas_gate_mm is not None and pancreas is None:
        raise RequestError(
            f"pancreas_gate_mm={settings.pancreas_gate_mm:g} needs the predicted pancreas; give it, or set no gate"
        )

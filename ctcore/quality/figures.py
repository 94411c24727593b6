"""What is measured of a case's quality."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ctcore.quality.contrast import Phase


class QualityFigures(BaseModel):
    """Figures that quality flags are decided by; None: not measurable.

    Attributes:
        slice_spacing_mm: distance between slices as stored, from feet to head.
        noise_hu: standard deviation of the noise in soft tissue.
        veins_hu: median of the veins around the pancreas.
        arteries_hu: median of the arteries.
        pancreas_hu: median of the gland without lesion and duct.
        contrast_phase: what these look like.
        image_border_mm: shortest way from the pancreas to a side of the image; 0: it touches.
        roi_border_mm: shortest way from the pancreas to a side of the ROI inside the image; 0: it touches. None also
            where every side of the ROI is one of the image.
        metal_ml: volume of metal near the pancreas.
        stage_dice: Dice of stage 1's and stage 2's pancreas inside the ROI.
        head_map_difference: of the probability of a lesion and the maximum of the detection map.
        fold_spread: largest less smallest probability of a lesion among the folds.
        feature_distance: of stage 2's features from those of the bundle's reference cases.
        feature_percentile: share of the reference cases that lie nearer, in per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slice_spacing_mm: float
    noise_hu: float | None = None
    veins_hu: float | None = None
    arteries_hu: float | None = None
    pancreas_hu: float | None = None
    contrast_phase: Phase | None = None
    image_border_mm: float | None = None
    roi_border_mm: float | None = None
    metal_ml: float | None = None
    stage_dice: float | None = None
    head_map_difference: float | None = None
    fold_spread: float | None = None
    feature_distance: float | None = None
    feature_percentile: float | None = None


FigureName = Literal[
    "slice_spacing_mm",
    "noise_hu",
    "image_border_mm",
    "roi_border_mm",
    "metal_ml",
    "stage_dice",
    "head_map_difference",
    "fold_spread",
    "feature_percentile",
]
"""Figures that have limits."""

"""The quality of a case: what is measured of its CT and of the stages' answers, and the flags that this decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from ctcore.geometry import Box
from ctcore.quality.agreement import dice, spread, to_border_mm
from ctcore.quality.contrast import contrast_phase, median_hu
from ctcore.quality.figures import QualityFigures
from ctcore.quality.metal import metal_ml_near
from ctcore.quality.noise import noise_hu

if TYPE_CHECKING:
    from ctcore.detection.fusion import FusionResult
    from ctcore.quality.outlier import FeatureReference
    from ctcore.volume import Volume
    from pipeline.manifest import BundleManifest
    from pipeline.stages import Prediction

VEINS, ARTERIES, PANCREAS = ("veins",), ("arteries",), ("pancreas",)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the stages saw and said of a case, in LPS order.

    Attributes:
        ct: the CT.
        box: the ROI, an index box of it.
        pancreas: (z, y, x) stage 1's mask on the ROI, non-zero inside.
        labels: (z, y, x) stage 2's segmentation on the ROI; None where none was made.
        label_values: values of the segmentation by name.
        prediction: what stage 2 said.
        fused: the scores.
    """

    ct: Volume
    box: Box
    pancreas: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8] | None
    label_values: dict[str, int]
    prediction: Prediction
    fused: FusionResult


def measure_quality(seen: Seen, manifest: BundleManifest, features: FeatureReference | None) -> QualityFigures:
    """Measures a case.

    Args:
        seen: what the stages saw and said.
        manifest: the bundle's lesion classes.
        features: its reference for stage 2's features, where it has one.
    """
    geometry = seen.ct.geometry
    roi, spacing = seen.ct.array[seen.box.slices], geometry.spacing_zyx
    gland = _gland(seen)
    either = seen.pancreas != 0 if gland is None else (seen.pancreas != 0) | gland
    hu = [_median(seen, roi, names) for names in (VEINS, ARTERIES, PANCREAS)]
    distance = None if features is None else features.distance(seen.prediction.features)
    return QualityFigures(
        slice_spacing_mm=spacing[0],
        noise_hu=noise_hu(roi, spacing),
        veins_hu=hu[0],
        arteries_hu=hu[1],
        pancreas_hu=hu[2],
        contrast_phase=contrast_phase(*hu),
        image_border_mm=_to_border(either, seen, of_image=True),
        roi_border_mm=None if gland is None else _to_border(gland, seen, of_image=False),
        metal_ml=metal_ml_near(roi, either, spacing),
        stage_dice=None if gland is None else dice(seen.pancreas, gland),
        head_map_difference=_head_map_difference(seen.fused),
        fold_spread=spread([_of_lesion(fold, manifest.lesion_classes) for fold in seen.prediction.fold_probabilities]),
        feature_distance=distance,
        feature_percentile=None if features is None or distance is None else features.percentile(distance),
    )


def pancreas_region(
    labels: npt.NDArray[np.uint8] | None, label_values: Mapping[str, int], located: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Returns where on the ROI (z, y, x) gland, duct or a lesion in it are.

    Args:
        labels: stage 2's segmentation; None where none was made.
        label_values: values of the segmentation by name.
        located: stage 1's mask, which is taken where there is no segmentation.
    """
    return np.asarray(located != 0) if labels is None else np.isin(labels, values_of(label_values, PANCREAS_PARTS))


def _gland(seen: Seen) -> npt.NDArray[np.bool_] | None:
    """Returns stage 2's gland, duct and lesion; None where no segmentation was made or it names none of them."""
    values = values_of(seen.label_values, PANCREAS_PARTS)
    return None if seen.labels is None or not values else np.isin(seen.labels, values)


def _median(seen: Seen, roi: npt.NDArray[Any], names: Sequence[str]) -> float | None:
    """Returns the median HU of some labels on the ROI; None where the segmentation does not know them."""
    values = values_of(seen.label_values, names)
    if seen.labels is None or not values:
        return None
    return median_hu(roi, seen.labels, values, seen.ct.geometry.voxel_volume_ml)


def _to_border(mask: npt.NDArray[np.bool_], seen: Seen, *, of_image: bool) -> float | None:
    """Returns the way from a mask on the ROI to the sides of the image, or to those of the ROI inside the image."""
    tight = Box.of_mask(mask)
    if tight is None:
        return None
    start = [a + b for a, b in zip(tight.start, seen.box.start, strict=True)]
    stop = [a + b for a, b in zip(tight.stop, seen.box.start, strict=True)]
    inside = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    shape = seen.ct.geometry.shape
    whole = Box.whole(shape)
    if of_image:
        return to_border_mm(inside, whole, seen.ct.geometry.spacing_zyx, [True] * 6)
    within = [a > 0 for a in seen.box.start] + [b < n for b, n in zip(seen.box.stop, shape, strict=True)]
    way = to_border_mm(inside, seen.box, seen.ct.geometry.spacing_zyx, within)
    return way if math.isfinite(way) else None


def _head_map_difference(fused: FusionResult) -> float | None:
    """Returns how far the probability of a lesion and the maximum of the map lie apart; None without a classifier."""
    p, d = fused.terms.get("p_lesion"), fused.terms.get("detection_max")
    return None if p is None or d is None else abs(p - d)


def _of_lesion(probabilities: Mapping[str, float], lesion_classes: Sequence[str]) -> float:
    return math.fsum(p for name, p in probabilities.items() if name in lesion_classes)

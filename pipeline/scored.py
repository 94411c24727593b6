"""What a prediction is worth: its lesion candidates and its fused score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.by_class import FoundLesions, find_lesions
from ctcore.detection.fusion import FusionResult, fuse, score_of_map

if TYPE_CHECKING:
    from ctcore.volume import Geometry
    from pipeline.manifest import BundleManifest
    from pipeline.stages import Prediction


@dataclass(frozen=True, eq=False)
class Scored:
    """A prediction's candidates and scores.

    Attributes:
        classes: calibrated probability of every class; empty without a classifier.
        found: lesion candidates, as they were cut out.
        fused: the scores.
    """

    classes: dict[str, float]
    found: FoundLesions
    fused: FusionResult


def score(prediction: Prediction, manifest: BundleManifest, geometry: Geometry, pancreas: npt.NDArray[Any]) -> Scored:
    """Cuts out the candidates of a prediction, and fuses them with its class probabilities.

    Args:
        prediction: of an ROI.
        manifest: gives candidate extraction, fusion and lesion classes.
        geometry: the ROI's grid.
        pancreas: mask (z, y, x) on it.
    """
    classes = {name: float(p) for name, p in prediction.class_probabilities.items()}
    found = find_lesions(
        prediction.lesion_probability,
        prediction.class_lesion_probabilities,
        manifest.candidates,
        geometry,
        pancreas,
    )
    if not manifest.classifier:
        return Scored(classes, found, map_score(float(np.float32(found.candidates.maximum)), manifest))
    return Scored(classes, found, fuse(classes, found.maxima(), manifest.fusion, manifest.lesion_classes))


def map_score(detection_max: float, manifest: BundleManifest) -> FusionResult:
    """Returns the scores of a bundle without a classifier from the maximum of the detection map."""
    return score_of_map(detection_max, manifest.class_names, manifest.lesion_classes)

"""What a prediction is worth: its lesion candidates and its fused score; and the running of the folds for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.detection.by_class import FoundLesions, find_lesions
from ctcore.detection.fusion import FusionResult, fuse, score_of_map
from pipeline.clock import Clock, TimedFolds
from pipeline.early_exit import mean_of_folds, run_folds

if TYPE_CHECKING:
    from ctcore.volume import Geometry
    from pipeline.manifest import BundleManifest
    from pipeline.stages import Prediction, RunningStage


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


@dataclass(frozen=True, eq=False)
class Told:
    """What the folds have said of an ROI.

    Attributes:
        running: the folds, which can still say what they draw a class from.
        prediction: what they say together.
        scored: what it is worth.
        folds: how many ran.
    """

    running: RunningStage
    prediction: Prediction
    scored: Scored
    folds: int


def run_and_score(
    running: RunningStage,
    manifest: BundleManifest,
    geometry: Geometry,
    pancreas: npt.NDArray[Any],
    thresholds: Sequence[float],
    clock: Clock,
) -> Told:
    """Runs the folds over an ROI, and scores what they say.

    Args:
        running: the folds.
        manifest: gives candidate extraction and fusion.
        geometry: the ROI's grid.
        pancreas: mask (z, y, x) on it.
        thresholds: at which the decision may be settled before the last fold; none: all folds run.
        clock: receives the time of every phase.
    """
    folds, timed = running.folds_left, TimedFolds(running, clock)

    def worth(prediction: Prediction) -> Scored:
        with clock.phase("detect"):
            return score(prediction, manifest, geometry, pancreas)

    if thresholds and folds > 1:
        prediction, alone = run_folds(timed, worth, thresholds)
        return Told(timed, prediction, mean_of_folds(worth(prediction), alone), len(alone))
    while timed.folds_left:
        timed.add()
    prediction = timed.finish()
    return Told(timed, prediction, worth(prediction), folds)

"""What the folds say of an ROI, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from pipeline.clock import Clock, TimedFolds
from pipeline.early_exit import mean_of_folds, run_folds
from pipeline.scored import Scored, score

if TYPE_CHECKING:
    from ctcore.volume import Geometry
    from pipeline.manifest import BundleManifest
    from pipeline.stages import Prediction, RunningStage


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

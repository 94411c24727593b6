"""The two stages as a run sees them: what it asks of each, and how both are loaded from a bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box
from ctcore.volume import Geometry, Volume

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from ctcore.inference.cover import WindowMode
    from ctcore.inference.effort import Effort
    from ctcore.quality.outlier import FeatureReference
    from pipeline.bundle import Bundle

logger = logging.getLogger(__name__)


class PancreasLocation(Protocol):
    """Where the pancreas of one case lies."""

    @property
    def box(self) -> Box:
        """The ROI: an index box (z, y, x) of the CT that was searched, in LPS order."""

    @property
    def source(self) -> str:
        """`localizer`, or `fallback` where no pancreas was found."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know of the search."""

    @property
    def pancreas(self) -> Volume:
        """Pancreas mask, non-zero inside, on any grid over the field of view of the CT in LPS order; empty if none."""

    @property
    def pancreas_ml(self) -> float:
        """Volume of the pancreas found, in millilitres."""


class Prediction(Protocol):
    """What the multi-task network says of one ROI."""

    @property
    def lesion_probability(self) -> npt.NDArray[Any]:
        """(z, y, x) float on the ROI's grid, 0..1: of any lesion."""

    @property
    def class_lesion_probabilities(self) -> Mapping[str, npt.NDArray[Any]]:
        """The same of each lesion class's own label; empty where all lesions are one label."""

    @property
    def segmentation(self) -> npt.NDArray[Any]:
        """(z, y, x) uint8 labels on the ROI's grid; asked for only where segmentations are made."""

    @property
    def class_probabilities(self) -> Mapping[str, float]:
        """Calibrated softmax by class name; empty where the network has no classification head."""

    @property
    def fold_probabilities(self) -> Sequence[Mapping[str, float]]:
        """The same of each fold by itself, in the order in which they ran."""

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        """(d,) pooled features of the network's first fold; None where it did not run, or gives none."""


class LocatorStage(Protocol):
    """Stage 1, loaded."""

    def locate(self, ct: Volume, /) -> PancreasLocation:
        """Finds the pancreas in a CT in LPS order."""


class RunningStage(Protocol):
    """An ROI on its way through the folds of the multi-task network."""

    @property
    def folds_left(self) -> int:
        """How many folds have not run."""

    def add(self) -> None:
        """Runs the next fold."""

    def add_apart(self) -> Prediction:
        """Runs the next fold, and returns what it says by itself."""

    def finish(self) -> Prediction:
        """Returns what the folds so far, at least one, say together; none can be added afterwards."""

    def evidence(self, name: str, probabilities: Mapping[str, float], /) -> npt.NDArray[np.float32]:
        """Returns where the folds so far draw a class from: (z, y, x) on the ROI's grid, log-odds per ml, signed.

        Asked for only where stages are loaded with evidence.
        """


class PredictorStage(Protocol):
    """Stage 2, loaded."""

    @property
    def labels(self) -> Mapping[str, int]:
        """Values of the segmentation by name."""

    @property
    def lesion_label(self) -> int:
        """Value of the lesion in the segmentation."""

    @property
    def effort(self) -> Effort:
        """The most that is computed of an ROI."""

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, /) -> int:
        """Returns how often a network is called for an ROI of this grid, with a pancreas mask on it."""

    def memory(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, apart: bool, /) -> int:
        """Returns the most bytes an ROI of this grid takes; `apart`: each fold's logits are kept for a while."""

    def warm_up(self) -> float:
        """Runs every network once on nothing; returns the seconds of one call."""

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> RunningStage:
        """Prepares an ROI in LPS order at full resolution, with a pancreas mask on its grid, for the folds."""


@dataclass(frozen=True)
class Stages:
    """Both stages, loaded once for a whole cohort.

    Attributes:
        localizer: finds the ROI.
        predictor: segments and classifies it.
        flags: tells what a reader of the latest case must know of how the networks compute.
        features: what stage 2's features of the bundle's reference cases look like, where it knows.
    """

    localizer: LocatorStage
    predictor: PredictorStage
    flags: Callable[[], tuple[str, ...]] = tuple
    features: FeatureReference | None = None


def load_stages(
    bundle: Bundle,
    execution: Execution,
    *,
    folds: Sequence[str] | None = None,
    tta: bool = False,
    windows: WindowMode = "exact",
    segmentations: bool = True,
    evidence: bool = False,
) -> Stages:
    """Loads both stages of a bundle.

    Args:
        bundle: a verified bundle.
        execution: device, backend and precision; stage 1 computes in fp32 whatever the precision.
        folds: models of each stage to average; None for all that the bundle holds.
        tta: whether predictions are averaged over mirrored inputs.
        windows: how the windows of stage 2 are placed; those of stage 1, which nothing guides, are exact.
        segmentations: whether stage 2 makes segmentations.
        evidence: whether stage 2 can tell what it draws a class from.

    Raises:
        RequestError: a fold is not in the bundle, a stage folder cannot be used, or evidence is asked of a network
            without a classification head.
    """
    from stage1_localizer.localizer import Localizer
    from stage2_multitask.predictor import MultiTaskPredictor

    logger.info("computing on %s", execution)
    # What bfloat16 rounds away can move the ROI by a voxel, which changes a score more than all rounding inside of it.
    localizer = Localizer(bundle.stage1, replace(execution, precision="fp32"), folds=folds, tta=tta)
    predictor = MultiTaskPredictor(
        bundle.stage2, execution, folds=folds, tta=tta, windows=windows, segment=segmentations, evidence=evidence
    )
    return Stages(localizer, predictor, lambda: (*localizer.flags, *predictor.flags), bundle.feature_reference())

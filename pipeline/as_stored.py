"""Stages that see a case in the order of axes it is stored in, as nnU-Net's do; the rest of a run is in LPS order.

What they are given is turned back to the stored order, and what they say is turned to LPS; nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Reorientation, to_lps
from ctcore.volume import Geometry, Volume
from pipeline.stages import PancreasLocation, Prediction, PredictorStage, RunningStage, Stages

if TYPE_CHECKING:
    from ctcore.inference.effort import Effort


def as_stored(stages: Stages, reorientation: Reorientation) -> Stages:
    """Returns stages for one case that take and answer in LPS order, and compute in that case's stored order.

    Args:
        stages: both stages, which expect the stored order.
        reorientation: from the case's stored order to LPS.
    """
    return replace(
        stages, localizer=_Locator(stages, reorientation), predictor=_Predictor(stages.predictor, reorientation)
    )


def _restored(volume: Volume, way: Reorientation) -> Volume:
    return Volume(way.restore(volume.array), way.restore_geometry(volume.geometry))


@dataclass(frozen=True)
class _Location:
    """A localizer's answer in LPS order; see `PancreasLocation`."""

    box: Box
    source: str
    flags: tuple[str, ...]
    pancreas: Volume
    pancreas_ml: float


@dataclass(frozen=True, eq=False)
class _Turned:
    """A prediction in LPS order; see `Prediction`."""

    told: Prediction
    way: Reorientation

    @property
    def lesion_probability(self) -> npt.NDArray[Any]:
        return self.way.apply(self.told.lesion_probability)

    @property
    def class_lesion_probabilities(self) -> Mapping[str, npt.NDArray[Any]]:
        return {name: self.way.apply(array) for name, array in self.told.class_lesion_probabilities.items()}

    @property
    def segmentation(self) -> npt.NDArray[Any]:
        return self.way.apply(self.told.segmentation)

    @property
    def class_probabilities(self) -> Mapping[str, float]:
        return self.told.class_probabilities

    @property
    def fold_probabilities(self) -> Sequence[Mapping[str, float]]:
        return self.told.fold_probabilities

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        return self.told.features


class _Locator:
    """The localizer in LPS order; see `LocatorStage`."""

    def __init__(self, stages: Stages, way: Reorientation) -> None:
        self._locator, self._way = stages.localizer, way

    def locate(self, ct: Volume, /) -> PancreasLocation:
        found = self._locator.locate(Volume(self._way.restore(ct.array), self._way.stored))
        box, (pancreas, _) = self._way.apply_box(found.box), to_lps(found.pancreas)
        return _Location(box, found.source, found.flags, pancreas, found.pancreas_ml)


class _Running:
    """The folds in LPS order; see `RunningStage`."""

    def __init__(self, running: RunningStage, way: Reorientation) -> None:
        self._running, self._way = running, way

    @property
    def folds_left(self) -> int:
        return self._running.folds_left

    def add(self) -> None:
        self._running.add()

    def add_apart(self) -> Prediction:
        return _Turned(self._running.add_apart(), self._way)

    def finish(self) -> Prediction:
        return _Turned(self._running.finish(), self._way)

    def evidence(self, name: str, probabilities: Mapping[str, float], /) -> npt.NDArray[np.float32]:
        return self._way.apply(self._running.evidence(name, probabilities))


class _Predictor:
    """The multi-task network in LPS order; see `PredictorStage`."""

    def __init__(self, predictor: PredictorStage, way: Reorientation) -> None:
        self._predictor, self._way = predictor, way

    @property
    def labels(self) -> Mapping[str, int]:
        return self._predictor.labels

    @property
    def lesion_label(self) -> int:
        return self._predictor.lesion_label

    @property
    def effort(self) -> Effort:
        return self._predictor.effort

    def warm_up(self) -> float:
        return self._predictor.warm_up()

    def calls(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, /) -> int:
        return self._predictor.calls(self._way.restore_geometry(geometry), self._way.restore(pancreas), effort)

    def memory(self, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort, apart: bool, /) -> int:
        stored = self._way.restore_geometry(geometry)
        return self._predictor.memory(stored, self._way.restore(pancreas), effort, apart)

    def begin(self, roi: Volume, pancreas: npt.NDArray[Any], effort: Effort, /) -> RunningStage:
        mask = np.ascontiguousarray(self._way.restore(pancreas))
        return _Running(self._predictor.begin(_restored(roi, self._way), mask, effort), self._way)

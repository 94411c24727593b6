"""An ROI on its way through the folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctcore.inference.backends.backend import Backend
    from ctcore.inference.predict import RunningEnsemble
    from stage2_multitask.predictor import MultiTaskPrediction, MultiTaskPredictor
    from stage2_multitask.roi_grid import RoiGrid


class RunningPrediction:
    """An ROI on its way through the folds; made by `MultiTaskPredictor.begin`.

    Args:
        predictor: takes logits to the ROI's grid.
        ensemble: the windows and what the folds so far say.
        backends: the folds.
        grid: the ROI on the network's grid, and the way back.
        slab_voxels: how many of its voxels are computed at once.
    """

    def __init__(
        self,
        predictor: MultiTaskPredictor,
        ensemble: RunningEnsemble,
        backends: Sequence[Backend],
        grid: RoiGrid,
        slab_voxels: int,
    ) -> None:
        self._predictor, self._ensemble = predictor, ensemble
        self._left = list(backends)
        self._grid, self._slab_voxels = grid, slab_voxels

    @property
    def folds_left(self) -> int:
        """How many folds have not run."""
        return len(self._left)

    def add(self) -> None:
        """Runs the next fold."""
        self._ensemble.add(self._left.pop(0))

    def add_apart(self) -> MultiTaskPrediction:
        """Runs the next fold, and returns what it says by itself."""
        alone = self._ensemble.add_apart(self._left.pop(0))
        return self._predictor.to_prediction(alone, self._grid, self._slab_voxels)

    def finish(self) -> MultiTaskPrediction:
        """Returns what the folds so far say together; there is one at least, and none can be added afterwards."""
        return self._predictor.to_prediction(self._ensemble.finish(), self._grid, self._slab_voxels)

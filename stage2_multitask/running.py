"""An ROI on its way through the folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctcore.inference.backends.backend import Backend
    from ctcore.inference.predict import RunningEnsemble, WindowPrediction
    from stage2_multitask.prediction import MultiTaskPrediction


class RunningPrediction:
    """An ROI on its way through the folds; made by `MultiTaskPredictor.begin`.

    Args:
        finished: takes logits to the ROI's grid.
        ensemble: the windows and what the folds so far say.
        backends: the folds.
    """

    def __init__(
        self,
        finished: Callable[[WindowPrediction], MultiTaskPrediction],
        ensemble: RunningEnsemble,
        backends: Sequence[Backend],
    ) -> None:
        self._finished, self._ensemble = finished, ensemble
        self._left = list(backends)

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
        return self._finished(alone)

    def finish(self) -> MultiTaskPrediction:
        """Returns what the folds so far say together; there is one at least, and none can be added afterwards."""
        return self._finished(self._ensemble.finish())

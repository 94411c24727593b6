"""An ROI on its way through the folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ctcore.inference.backends.backend import Backend
    from ctcore.inference.predict import RunningEnsemble, WindowPrediction
    from stage2_multitask.prediction import MultiTaskPrediction

Explain = Callable[["RunningEnsemble", str, Mapping[str, float]], "npt.NDArray[np.float32]"]
"""From the folds that ran, a class and the probabilities of all to the evidence (z, y, x) for it."""


class RunningPrediction:
    """An ROI on its way through the folds; made by `MultiTaskPredictor.begin`.

    Args:
        finished: takes logits to the ROI's grid.
        ensemble: the windows and what the folds so far say.
        backends: the folds.
        explain: what the ensemble draws a class from; None where the predictor was made without evidence.
    """

    def __init__(
        self,
        finished: Callable[[WindowPrediction], MultiTaskPrediction],
        ensemble: RunningEnsemble,
        backends: Sequence[Backend],
        explain: Explain | None = None,
    ) -> None:
        self._finished, self._ensemble, self._explain = finished, ensemble, explain
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

    def evidence(self, name: str, probabilities: Mapping[str, float]) -> npt.NDArray[np.float32]:
        """Returns what the folds so far draw a class from, (z, y, x) on the ROI's grid; see `evidence.Explainer`.

        Args:
            name: the class.
            probabilities: of every class by name, as the folds say together.

        Raises:
            ValueError: the predictor was made without evidence, or its networks have no classification head.
        """
        if self._explain is None:
            raise ValueError("the predictor was made without evidence; make it with evidence=True")
        return self._explain(self._ensemble, name, probabilities)

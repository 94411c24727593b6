"""What the multi-task network says of an ROI."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class MultiTaskPrediction:
    """What the network says of an ROI.

    Attributes:
        lesion_probability: float32 (z, y, x) on the ROI's own grid: of any lesion.
        labels: uint8 labels (z, y, x) on the ROI's own grid; None where the predictor was not asked for them.
        class_probabilities: calibrated softmax by class name; empty where the network has no classification head.
        class_lesion_probabilities: that of each lesion class's own label; empty where all lesions are one label.
        fold_probabilities: the class probabilities of each fold by itself, in the order in which they ran.
        features: float32 (d,) pooled features of the first fold, where it was among them; None where it was not.
    """

    lesion_probability: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8] | None
    class_probabilities: dict[str, float]
    class_lesion_probabilities: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    fold_probabilities: tuple[dict[str, float], ...] = ()
    features: npt.NDArray[np.float32] | None = None

    @property
    def segmentation(self) -> npt.NDArray[np.uint8]:
        """The labels.

        Raises:
            ValueError: the predictor was not asked for them.
        """
        if self.labels is None:
            raise ValueError("the predictor was made without segmentations; make it with segment=True")
        return self.labels

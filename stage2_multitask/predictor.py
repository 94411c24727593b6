"""The multi-task predictor: ROI -> lesion probability, segmentation, class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.nnunet.exported import chosen_folds, load_model, load_weights
from ctcore.resample import resample_array, resample_to_spacing
from ctcore.volume import Volume
from stage2_multitask.model import MultiTaskModel

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution

SLAB_VOXELS = 4_000_000
"""Voxels of the ROI's grid that are resampled and turned into probabilities at once: bounds memory to about 250 MB."""


@dataclass(frozen=True, eq=False)
class MultiTaskPrediction:
    """What the network says of an ROI.

    Attributes:
        lesion_probability: float32 (z, y, x) on the ROI's own grid: of any lesion.
        segmentation: uint8 labels (z, y, x) on the ROI's own grid.
        class_probabilities: calibrated softmax by class name.
        class_lesion_probabilities: that of each lesion class's own label; empty where all lesions are one label.
    """

    lesion_probability: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    class_probabilities: dict[str, float]
    class_lesion_probabilities: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


class MultiTaskPredictor:
    """A trained multi-task network, loaded once and run on any number of ROIs.

    Args:
        folder: an exported stage-2 folder.
        execution: device, backend and precision.
        folds: folds to average; all if not given.
        tta: whether to average over mirrored images (only along axes that training mirrored).

    Raises:
        BundleError: the folder is damaged.
        RequestError: a fold was not trained.
    """

    def __init__(
        self, folder: Path, execution: Execution, *, folds: Sequence[int | str] | None = None, tta: bool = False
    ) -> None:
        from ctcore.inference.backends.choose import make_backend
        from ctcore.inference.slices import for_windows
        from stage2_multitask.network import build_network, regions_of

        self.model = load_model(folder, MultiTaskModel)
        self._foreground = regions_of(self.model.labels, self.model.lesions).foreground
        self._mirror_axes = self.model.mirror_axes if tta else ()
        self._backends = []
        for fold in chosen_folds(self.model, folds):
            network = build_network(
                self.model.architecture,
                self.model.patch_size,
                self.model.labels,
                self.model.lesions,
                len(self.class_names),
                self.model.head,
            )
            load_weights(network, folder, fold)
            self._backends.append(make_backend(for_windows(network, self.model.patch_size), execution))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Patient-level classes."""
        return self.model.class_names

    @property
    def labels(self) -> dict[str, int]:
        """Segmentation labels by value."""
        return self.model.labels

    @property
    def lesion_label(self) -> int:
        """Value of the label that becomes the detection map."""
        return self.model.labels[self.model.lesion_label]

    @property
    def lesion_labels(self) -> dict[str, int]:
        """Value of each lesion class's own label; empty where all lesions are one label."""
        return {name: self.model.labels[label] for name, label in self.model.lesion_labels.items()}

    def predict(self, roi: Volume) -> MultiTaskPrediction:
        """Runs the network on an ROI: Hounsfield units in LPS order at full resolution."""
        from ctcore.inference.predict import predict_ensemble

        low = resample_to_spacing(roi, self.model.spacing_mm)
        image = self.model.normalization.apply(np.rint(low.array))[None]
        prediction = predict_ensemble(
            self._backends,
            image,
            self.model.patch_size,
            mirror_axes=self._mirror_axes,
            foreground=self._foreground,
            aggregation=self.model.aggregation,
        )
        if prediction.class_logits is None:
            raise ValueError("the network has no classification head")
        own = self.lesion_labels
        values = list(own.values()) or [self.lesion_label]
        lesions, segmentation = to_grid(prediction.segmentation, roi.geometry.shape, values)
        probabilities = softmax(prediction.class_logits / self.model.temperature, axis=0)
        classes = dict(zip(self.class_names, probabilities.tolist(), strict=True))
        if not own:
            return MultiTaskPrediction(lesions[0], segmentation, classes)
        any_lesion = np.minimum(lesions.sum(axis=0), np.float32(1))
        return MultiTaskPrediction(any_lesion, segmentation, classes, dict(zip(own, lesions, strict=True)))


def to_grid(
    logits: npt.NDArray[np.float32], shape: tuple[int, int, int], lesion_labels: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Takes logits to a finer grid, slab by slab, in nnU-Net's order: resample every logit, then softmax.

    Args:
        logits: (k, z, y, x) on the network's grid.
        shape: sizes (z, y, x) of the grid to reach, over the same field of view.
        lesion_labels: the n labels whose probability is kept.

    Returns:
        Their probabilities (float32, (n, *shape)) and the most probable label (uint8, of `shape`).
    """
    lesions = np.empty((len(lesion_labels), *shape), dtype=np.float32)
    segmentation = np.empty(shape, dtype=np.uint8)
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        stop = min(start + thickness, shape[0])
        slab = resample_array(logits, shape, z_range=(start, stop))
        segmentation[start:stop] = slab.argmax(axis=0)
        lesions[:, start:stop] = softmax(slab, axis=0)[list(lesion_labels)]
    return lesions, segmentation


def softmax(logits: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float32]:
    """Returns the softmax along an axis, in float32."""
    values: npt.NDArray[np.float32] = logits.astype(np.float32)
    values -= values.max(axis=axis, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=axis, keepdims=True)
    return values

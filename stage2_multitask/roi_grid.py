"""The ROI on the network's grid, and the network's answer back on the ROI's: this project's way and nnU-Net's own."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple, paste
from ctcore.inference.predict import WindowPrediction
from ctcore.nnunet.processing import ProcessedImage, Spacing, process
from ctcore.resample import resample_array, resample_to_spacing, resampled_geometry, shape_for_spacing
from ctcore.volume import Geometry, Volume
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.probabilities import GridProbabilities, most_probable, to_grid

FloatArray = npt.NDArray[np.float32]


class RoiGrid(Protocol):
    """An ROI on the network's grid."""

    @property
    def image(self) -> FloatArray:
        """What the network sees: normalised, (1, z, y, x) in its order of axes."""

    def mask(self, mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a mask (z, y, x) over the ROI's field of view on the network's grid."""

    def probabilities(
        self, answer: WindowPrediction, channels: list[int], labels: bool, slab_voxels: int
    ) -> GridProbabilities:
        """Returns on the ROI's grid what the network says of `channels`, and the labels where they are wanted."""

    def values(self, values: FloatArray, box: Box) -> FloatArray:
        """Returns values (z, y, x) in a box of the network's grid, 0 outside, on the ROI's grid."""


def roi_grid(roi: Volume, model: MultiTaskModel) -> RoiGrid:
    """Brings an ROI in Hounsfield units to the network's grid, as the model says."""
    return LinearGrid(roi, model) if model.processing is None else NnunetGrid(roi, model)


def network_grid(geometry: Geometry, model: MultiTaskModel) -> tuple[Triple, Spacing]:
    """Returns sizes and spacing (mm) of the network's grid for an ROI's, in the network's order of axes.

    What nnU-Net crops because it is exactly 0 is not known without the image: the grid is that of the whole.
    """
    how = model.processing
    if how is None:
        low = resampled_geometry(geometry, shape_for_spacing(geometry, model.spacing_mm))
        return low.shape, low.spacing_zyx
    return how.network_grid(how.forward(geometry.shape), how.forward(geometry.spacing_zyx), model.spacing_mm)


def network_mask(mask: npt.NDArray[Any], shape: Triple, model: MultiTaskModel) -> npt.NDArray[Any]:
    """Returns a mask (z, y, x) over an ROI's field of view on a grid from `network_grid`."""
    turned = mask if model.processing is None else mask.transpose(model.processing.transpose)
    return resample_array(turned, shape, "nearest")


class LinearGrid:
    """Resampled linearly over an unchanged field of view (`ctcore.resample`), both ways.

    Args:
        roi: Hounsfield units.
        model: spacing and normalisation.
    """

    def __init__(self, roi: Volume, model: MultiTaskModel) -> None:
        low = resample_to_spacing(roi, model.spacing_mm)
        self.image: FloatArray = model.normalization.apply(np.rint(low.array))[None]
        self._low, self._roi = low.geometry.shape, roi.geometry.shape

    def mask(self, mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `RoiGrid`."""
        return resample_array(mask, self._low, "nearest")

    def probabilities(
        self, answer: WindowPrediction, channels: list[int], labels: bool, slab_voxels: int
    ) -> GridProbabilities:
        """See `RoiGrid`."""
        return to_grid(
            answer.segmentation,
            self._roi,
            channels,
            box=answer.box,
            grid=self._low,
            labels=labels,
            slab_voxels=slab_voxels,
        )

    def values(self, values: FloatArray, box: Box) -> FloatArray:
        """See `RoiGrid`."""
        return resample_array(paste(values, box, self._low), self._roi)


class NnunetGrid:
    """Resampled as nnU-Net does it; its outputs are one softmax, or a sigmoid for each region.

    Args:
        roi: Hounsfield units in the order of axes that nnU-Net was trained with.
        model: spacing, normalisation, processing and labels.
    """

    def __init__(self, roi: Volume, model: MultiTaskModel) -> None:
        if model.processing is None:
            raise ValueError("the model does not say how nnU-Net resamples for it")
        self._processed: ProcessedImage = process(
            roi.array, roi.geometry.spacing_zyx, model.processing, model.normalization.apply, model.spacing_mm
        )
        self._painted = [model.labels[name] for name in model.regions]

    @property
    def image(self) -> FloatArray:
        """See `RoiGrid`."""
        return self._processed.image

    def mask(self, mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `RoiGrid`."""
        return self._processed.mask_of(mask)

    def probabilities(
        self, answer: WindowPrediction, channels: list[int], labels: bool, slab_voxels: int
    ) -> GridProbabilities:
        """See `RoiGrid`."""
        logits = self._processed.logits_on_image(answer.segmentation, answer.box)
        shape = logits.shape[1:]
        lesions = np.zeros((len(channels), *shape), np.float32)
        segmentation = np.zeros(shape, np.uint8) if labels else None
        thickness = max(1, slab_voxels // (shape[1] * shape[2]))
        for start in range(0, shape[0], thickness):
            slab, part = logits[:, start : start + thickness], slice(start, start + thickness)
            if segmentation is not None:
                segmentation[part] = self._labels(slab)
            lesions[:, part] = self._shares(slab, channels)
        whole = None if segmentation is None else self._processed.as_stored(segmentation)
        return GridProbabilities(self._processed.as_stored(lesions), whole)

    def values(self, values: FloatArray, box: Box) -> FloatArray:
        """See `RoiGrid`."""
        whole = paste(values, box, self._processed.shape)
        on_image = self._processed.logits_on_image(whole[None], Box.whole(self._processed.shape))
        return np.asarray(self._processed.as_stored(on_image[0]), np.float32)

    def _labels(self, logits: FloatArray) -> npt.NDArray[np.uint8]:
        if not self._painted:
            return most_probable(logits)
        labels = np.zeros(logits.shape[1:], np.uint8)
        for logit, value in zip(logits, self._painted, strict=True):
            labels[logit > 0] = value  # where the sigmoid exceeds 0.5
        return labels

    def _shares(self, logits: FloatArray, channels: list[int]) -> FloatArray:
        if self._painted:
            from scipy.special import expit

            return np.asarray(expit(logits[channels]), np.float32)
        powers = np.exp(logits - logits.max(axis=0))
        return np.asarray(powers[channels] / powers.sum(axis=0), np.float32)

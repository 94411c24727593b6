"""nnU-Net's own way of an image to its network, and of the logits back: with its own resampling functions.

In its order: axes transposed, cropped to what is not 0, normalised, resampled; logits resampled to the cropped image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from ctcore.bounds import check_resampled
from ctcore.geometry import Box, Triple
from ctcore.resample import resample_array

FloatArray = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]

ResamplingName = Literal["resample_data_or_seg_to_shape", "resample_torch_fornnunet"]

UNCOVERED_LOGIT = -1e4
"""Logit of labels where no window was computed, against 0 of the background: their share is 0 in float32."""


SmallInt = Annotated[int, Field(ge=-64, le=64)]


class Resampling(BaseModel):
    """One of nnU-Net's resampling functions.

    Attributes:
        function: its name.
        arguments: what the plan gives it: orders of the splines in-plane and across slices, whether slices are
            resampled by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: ResamplingName
    arguments: dict[str, bool | SmallInt | FiniteFloat | str | None]


class NnunetProcessing(BaseModel):
    """How nnU-Net brings an image to its network, and logits back.

    Attributes:
        transpose: stored array axis that each axis of the network's image comes from.
        image: resampling of the image.
        logits: resampling of the logits; linear at most, lest uncovered voxels overshoot.
        keeps_slices: whether the first of the network's axes keeps its spacing, as for 2-D networks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transpose: tuple[int, int, int] = (0, 1, 2)
    image: Resampling
    logits: Resampling
    keeps_slices: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sorted(self.transpose) != [0, 1, 2]:
            raise ValueError(f"transpose {self.transpose} is not an order of the axes 0, 1, 2")
        order = self.logits.arguments.get("order", 1)
        if isinstance(order, bool) or order not in {0, 1}:
            raise ValueError(f"logits are resampled with splines of order {order}; 0 and 1 can be run")
        return self

    def forward(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Returns three values, one for each stored array axis, in the order of the network's axes."""
        a, b, c = (values[axis] for axis in self.transpose)
        return a, b, c

    def backward(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns an array (..., of the network's axes) with the axes as stored."""
        leading = array.ndim - 3
        inverse = (int(axis) + leading for axis in np.argsort(self.transpose))
        return np.ascontiguousarray(array.transpose(*range(leading), *inverse))

    def network_grid(self, shape: Triple, spacing: Spacing, wanted: Spacing) -> tuple[Triple, Spacing]:
        """Returns sizes and spacing of the network's grid.

        Args:
            shape: sizes of the cropped image, in the network's order of axes.
            spacing: its spacing in mm, in the same order.
            wanted: spacing that the network was trained at.

        Raises:
            GeometryError: the grid has more voxels than are resampled to (`ctcore.bounds`).
        """
        target = (spacing[0], *wanted[1:]) if self.keeps_slices else wanted
        a, b, c = (round(old / new * n) for old, new, n in zip(spacing, target, shape, strict=True))
        sizes = max(a, 1), max(b, 1), max(c, 1)
        check_resampled(sizes, target)
        return sizes, target


@dataclass(frozen=True, eq=False)
class ProcessedImage:
    """An image as an nnU-Net network sees it, and the way back.

    Attributes:
        image: normalised (1, a, b, c) on the network's grid, its axes in the network's order.
        target: spacing of that grid in mm.
        whole: sizes of the stored image, in the network's order of axes.
        inside: box of these that is not all 0; the network's grid covers it.
        spacing: of the stored image in mm, in the network's order of axes.
        processing: how it was made.
    """

    image: FloatArray
    target: Spacing
    whole: Triple
    inside: Box
    spacing: Spacing
    processing: NnunetProcessing

    @property
    def shape(self) -> Triple:
        """Sizes of the network's grid."""
        a, b, c = self.image.shape[1:]
        return a, b, c

    def logits_on_image(self, logits: FloatArray, box: Box) -> FloatArray:
        """Returns logits (k, ...) on the cropped image, in the network's order of axes.

        Args:
            logits: of a part of the network's grid.
            box: that part; voxels that draw on others are background.
        """
        if box != Box.whole(self.shape):
            everywhere = np.full((logits.shape[0], *self.shape), UNCOVERED_LOGIT, np.float32)
            everywhere[0] = 0
            everywhere[(slice(None), *box.slices)] = logits
            logits = everywhere
        return _resampled(self.processing.logits, logits, self.inside.shape, self.target, self.spacing)

    def as_stored(self, array: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
        """Returns values (..., a, b, c) of the cropped image on the whole one as stored, with `fill` around them."""
        if self.inside != Box.whole(self.whole):
            whole = np.full((*array.shape[:-3], *self.whole), fill, array.dtype)
            whole[(..., *self.inside.slices)] = array
            array = whole
        return self.processing.backward(array)

    def mask_of(self, mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a mask of the stored image (any grid over its field of view) on the network's grid."""
        on_image = resample_array(mask.transpose(self.processing.transpose), self.whole, "nearest")
        return resample_array(on_image[self.inside.slices], self.shape, "nearest")


def process(
    array: npt.NDArray[Any],
    spacing_zyx: Spacing,
    processing: NnunetProcessing,
    normalize: Callable[[npt.NDArray[Any]], FloatArray],
    wanted: Spacing,
) -> ProcessedImage:
    """Brings an image to the network's grid as nnU-Net does.

    Args:
        array: Hounsfield units (z, y, x) as stored.
        spacing_zyx: its spacing (z, y, x) in mm.
        processing: the plan's settings.
        normalize: the plan's normalisation.
        wanted: spacing in mm that the network was trained at, in its order of axes.
    """
    turned = array.transpose(processing.transpose)
    whole: Triple = (turned.shape[0], turned.shape[1], turned.shape[2])
    spacing = processing.forward(spacing_zyx)
    inside = Box.of_mask(turned != 0) or Box.whole(whole)
    shape, target = processing.network_grid(inside.shape, spacing, wanted)
    normalized = normalize(np.ascontiguousarray(turned[inside.slices]))[None]
    image = _resampled(processing.image, normalized, shape, spacing, target)
    return ProcessedImage(np.ascontiguousarray(image, np.float32), target, whole, inside, spacing, processing)


def _resampled(how: Resampling, data: FloatArray, shape: Triple, spacing: Spacing, target: Spacing) -> FloatArray:
    """Resamples (c, a, b, c) with one of nnU-Net's functions."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
    from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

    functions: dict[ResamplingName, Callable[..., FloatArray]] = {
        "resample_data_or_seg_to_shape": resample_data_or_seg_to_shape,
        "resample_torch_fornnunet": resample_torch_fornnunet,
    }
    return functions[how.function](data, shape, spacing, target, **how.arguments)

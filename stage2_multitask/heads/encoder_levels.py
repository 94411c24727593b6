"""The levels of an encoder as its heads need to know them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Size = tuple[int, ...]
"""A number for each spatial axis, ([z,] y, x)."""


@dataclass(frozen=True)
class EncoderLevels:
    """Channels and geometry of the levels, fine to coarse.

    Attributes:
        channels: channels of each level.
        strides: stride ([z,] y, x) from each level's predecessor into it; the first is the stem's.
        kernels: kernel ([z,] y, x) of each level's convolutions.
        patch_size: pixels or voxels ([z,] y, x) that training sees at once; its length is the number of dimensions.

    Raises:
        ValueError: the lengths disagree, or there are neither two nor three dimensions.
    """

    channels: tuple[int, ...]
    strides: tuple[Size, ...]
    kernels: tuple[Size, ...]
    patch_size: Size

    def __post_init__(self) -> None:
        if self.dims not in {2, 3}:
            raise ValueError(f"patch_size {self.patch_size} has {self.dims} axes; heads are made for 2 or 3")
        if not self.channels or not len(self.channels) == len(self.strides) == len(self.kernels):
            raise ValueError(
                f"channels {self.channels}, strides {self.strides}, kernels {self.kernels} differ in length"
            )
        if any(len(size) != self.dims for size in (*self.strides, *self.kernels)):
            raise ValueError(f"strides {self.strides}, kernels {self.kernels} do not fit patch_size {self.patch_size}")

    @classmethod
    def of_architecture(cls, architecture: Mapping[str, Any], patch_size: Sequence[int]) -> EncoderLevels:
        """Reads the description of a U-Net, nnU-Net's own or one with a timm encoder.

        Args:
            architecture: as in a plan or in `model.json`; a number stands for the same number on every axis.
            patch_size: ([z,] y, x); of a 2-D network also (1, y, x), as recipes and `model.json` have it.

        Raises:
            ValueError: it does not fit the patch.
        """
        arguments = architecture["arch_kwargs"]
        if str(arguments.get("conv_op")).endswith("Conv2d") and len(patch_size) == 3 and patch_size[0] == 1:
            patch_size = patch_size[1:]
        dims = len(patch_size)
        channels, strides, kernels = (arguments[key] for key in ("features_per_stage", "strides", "kernel_sizes"))
        return cls(
            tuple(int(n) for n in channels),
            tuple(_each_axis(stride, dims) for stride in strides),
            tuple(_each_axis(kernel, dims) for kernel in kernels),
            tuple(int(n) for n in patch_size),
        )

    @property
    def dims(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.patch_size)

    @property
    def scales(self) -> tuple[Size, ...]:
        """Stride ([z,] y, x) of each level against the first, on whose grid the decoder answers."""
        scale = (1,) * self.dims
        scales = [scale]
        for stride in self.strides[1:]:
            scale = tuple(a * b for a, b in zip(scale, stride, strict=True))
            scales.append(scale)
        return tuple(scales)

    @property
    def bottleneck_size(self) -> Size:
        """Size ([z,] y, x) of the last level for a training patch."""
        whole = zip(self.patch_size, self.strides[0], self.scales[-1], strict=True)
        return tuple(math.ceil(n / (stem * scale)) for n, stem, scale in whole)


def _each_axis(value: int | Sequence[int], dims: int) -> Size:
    return (value,) * dims if isinstance(value, int) else tuple(int(n) for n in value)

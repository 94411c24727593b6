"""Where windows are placed on an image, what each voxel of a window weighs, and the padding of small images."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple

GAUSSIAN_SIGMA = 1.0 / 8
"""Standard deviation of a window's weight, as a fraction of the window's length along each axis (nnU-Net's value)."""


def window_starts(image_shape: Triple, patch_size: Triple, step: float = 0.5) -> tuple[tuple[int, ...], ...]:
    """Returns the first index of every window along each axis, placed as nnU-Net places them.

    Along one axis of length n with windows of length p there are ceil((n - p) / (step * p)) + 1 windows; they are
    spread evenly, the first at 0 and the last at n - p, so that neighbours are at most step * p apart. Where step * p
    is below one voxel, as along z for windows of one slice, they are one voxel apart: none is placed twice.

    Args:
        image_shape: length (z, y, x) of the image, nowhere below `patch_size` (see `Padding`).
        patch_size: length (z, y, x) of a window.
        step: greatest distance between neighbours, as a fraction of the window, above 0 and at most 1.

    Raises:
        ValueError: the step is out of its range, or the image is smaller than a window.
    """
    if not 0 < step <= 1:
        raise ValueError(f"window step {step} is out of range; use a fraction above 0 and at most 1")
    if min(patch_size) < 1 or any(n < p for n, p in zip(image_shape, patch_size, strict=True)):
        raise ValueError(f"windows of {patch_size} do not fit an image of {image_shape}; pad the image first")
    starts = []
    for length, patch in zip(image_shape, patch_size, strict=True):
        last = length - patch
        intervals = math.ceil(last / max(patch * step, 1.0))
        distance = last / intervals if intervals else 0.0
        starts.append(tuple(round(distance * i) for i in range(intervals + 1)))
    return tuple(starts)


def place_windows(image_shape: Triple, patch_size: Triple, step: float = 0.5) -> list[Box]:
    """Returns the windows that cover an image, in the order z, y, x (x fastest).

    Args:
        image_shape: length (z, y, x) of the image, nowhere below `patch_size`.
        patch_size: length (z, y, x) of a window.
        step: greatest distance between neighbours, as a fraction of the window.

    Raises:
        ValueError: as `window_starts`.
    """
    depth, height, width = patch_size
    return [
        Box((z, y, x), (z + depth, y + height, x + width))
        for z, y, x in itertools.product(*window_starts(image_shape, patch_size, step))
    ]


def gaussian_weight(patch_size: Triple) -> npt.NDArray[np.float32]:
    """Returns the weight (z, y, x) of a window's voxels: a Gaussian around voxel n // 2 of each axis, 1 at its peak.

    It is nnU-Net's importance map (a filtered delta, `nnunetv2.inference.sliding_window_prediction`) in closed form:
    the filter is separable, and its reach of 4 sigma is half a window, so that it covers the whole window.
    """
    profiles = [
        np.exp(-0.5 * ((np.arange(length) - length // 2) / (GAUSSIAN_SIGMA * length)) ** 2) for length in patch_size
    ]
    z, y, x = profiles
    return (z[:, None, None] * y[None, :, None] * x[None, None, :]).astype(np.float32)


@dataclass(frozen=True)
class Padding:
    """Voxels added around an image so that a window fits it.

    Attributes:
        before: voxels (z, y, x) added in front.
        after: voxels (z, y, x) added behind; where the sum is odd, the greater half.
    """

    before: Triple
    after: Triple

    @classmethod
    def to_fit(cls, image_shape: Triple, patch_size: Triple) -> Padding:
        """Returns the symmetric padding that brings every axis (z, y, x) to at least `patch_size`."""
        missing = [max(p - n, 0) for n, p in zip(image_shape, patch_size, strict=True)]
        z, y, x = missing
        return cls((z // 2, y // 2, x // 2), (z - z // 2, y - y // 2, x - x // 2))

    def apply(self, array: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        """Returns the array (..., z, y, x) with `fill` around it; the same array where nothing is to be added."""
        if not any(self.before) and not any(self.after):
            return array
        widths = [(0, 0)] * (array.ndim - 3) + list(zip(self.before, self.after, strict=True))
        return np.pad(array, widths, mode="constant", constant_values=fill)

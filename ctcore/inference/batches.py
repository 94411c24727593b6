"""Windows of an image as the batches that networks are given: one window, but several slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple

FloatArray = npt.NDArray[np.float32]

MOST_SLICES = 8
"""Slices that are computed at once, at most; more are not faster on a CPU (`python -m benchmarks.slices`)."""
SLICE_BATCH_PIXELS = MOST_SLICES * 256 * 256
"""Pixels that are computed at once, at most: bounds the memory."""


def windows_at_once(patch_size: Triple) -> int:
    """Returns how many windows are one batch: one, but several slices."""
    depth, height, width = patch_size
    return max(1, min(MOST_SLICES, SLICE_BATCH_PIXELS // (height * width))) if depth == 1 else 1


def batch_shape(patch_size: Triple) -> tuple[int, ...]:
    """Returns the shape (b, c, z, y, x) of the batches of a CT that networks are given."""
    return (windows_at_once(patch_size), 1, *patch_size)


def batch_of(image: FloatArray, windows: Sequence[Box], length: int) -> FloatArray:
    """Returns windows (length, c, z, y, x) of an image; where there are fewer, zeros follow.

    A last batch of another length would be another network to compile.
    """
    batch = np.zeros((length, image.shape[0], *windows[0].shape), np.float32)
    for index, window in enumerate(windows):
        batch[index] = image[(slice(None), *window.slices)]
    return batch

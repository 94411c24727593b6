"""The pancreas gate: a lesion probability counts only near the predicted pancreas."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box

DISTANCE_TOLERANCE = 1e-6
"""Share of the distance that rounding may add: voxels at exactly that distance are within it."""


def gated(
    probability: npt.NDArray[np.float32],
    pancreas: npt.NDArray[Any],
    distance_mm: float,
    spacing_zyx: tuple[float, float, float],
) -> npt.NDArray[np.float32] | None:
    """Returns the probability with 0 where the pancreas is farther than a distance; None if there is no pancreas.

    The distance is Euclidean, between voxel centres; it is computed in the box of the pancreas plus the distance alone.

    Args:
        probability: (z, y, x), 0..1.
        pancreas: (z, y, x) on the same grid, non-zero inside.
        distance_mm: at least 0; at 0 the pancreas alone is left.
        spacing_zyx: spacing (z, y, x) in mm.
    """
    from scipy import ndimage

    inside = pancreas != 0
    gland = Box.of_mask(inside)
    if gland is None:
        return None
    reach = gland.expand_mm((distance_mm, distance_mm, distance_mm), spacing_zyx).clip(inside.shape)
    distance = ndimage.distance_transform_edt(~inside[reach.slices], sampling=spacing_zyx)
    near = distance <= distance_mm * (1 + DISTANCE_TOLERANCE)
    kept = np.zeros_like(probability)
    kept[reach.slices] = np.where(near, probability[reach.slices], np.float32(0))
    return kept

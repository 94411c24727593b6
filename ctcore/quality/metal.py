"""Metal near the pancreas: stents, clips, coils, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

METAL_HU = 2000.0
"""Above it is metal: cortical bone and calcifications end below 2,000 HU, and scanners that store 12 bits write steel,
nitinol and titanium as their highest value, 3,071."""
NEAR_MM = 20.0
LEAST_ML = 0.02
"""A clip; less is a single bright voxel."""


def metal_ml_near(
    hounsfield: npt.NDArray[Any], pancreas: npt.NDArray[Any], spacing_zyx: tuple[float, float, float]
) -> float | None:
    """Returns the volume in ml of metal at most `NEAR_MM` from the pancreas, None without a pancreas.

    Thin wires in thick slices may stay below the threshold, and plastic stents do: 0 does not mean that there is none.

    Args:
        hounsfield: CT (z, y, x).
        pancreas: mask on its grid.
        spacing_zyx: of its voxels, in mm.
    """
    if not pancreas.any():
        return None
    metal = np.argwhere(hounsfield >= METAL_HU)
    if not len(metal):
        return 0.0
    from scipy.spatial import KDTree

    spacing = np.asarray(spacing_zyx)
    distance, _ = KDTree(np.argwhere(pancreas) * spacing).query(metal * spacing, distance_upper_bound=NEAR_MM)
    return float(np.isfinite(distance).sum()) * float(np.prod(spacing)) / 1000.0

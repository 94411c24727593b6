"""Masks whose measures are known: tubes around polylines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ctcore.morphometry.paths import Spacing

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def places(shape: tuple[int, int, int], spacing: Spacing) -> Points:
    """Returns the (z, y, x, 3) mm of all voxels."""
    return np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"), -1)


def tube(shape: tuple[int, int, int], spacing: Spacing, corners: npt.ArrayLike, radius: float) -> Mask:
    """Returns a (z, y, x) tube around the lines between corners (n, 3) in (z, y, x) mm."""
    points = np.asarray(corners, np.float64)
    dense = [np.linspace(a, b, 200) for a, b in pairwise(points)]
    return np.asarray(cKDTree(np.concatenate(dense)).query(places(shape, spacing))[0] <= radius)


def arc(radius: float, centre: npt.ArrayLike, degrees: float = 180.0) -> Points:
    """Returns (n, 3) points of an arc in the plane of y and x."""
    angle = np.radians(np.linspace(0, degrees, 200))
    return np.asarray(centre) + radius * np.stack([0 * angle, np.sin(angle), -np.cos(angle)], 1)

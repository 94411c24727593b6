"""Centre lines: smooth curves through the middle of something long, such as a duct, a vessel or the pancreas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ctcore.morphometry.paths import Index, Inside, MiddleWays

STEP_MM = 1.0
"""Distance of neighbouring points, about."""
SMOOTHING_VOXELS = 0.5
"""How far the curve lies from the voxels of the way, root mean square, in units of the largest voxel side."""
LEAST_POINTS = 5
"""A cubic curve with some freedom needs as many."""
LEAST_ELONGATION = 1.5
"""Something shorter than so many times its width has no course."""
FINER = 4
"""Points of the spline a voxel of the way, before they are spaced evenly."""


@dataclass(frozen=True, eq=False)
class CentreLine:
    """A smooth curve.

    Attributes:
        points: (n, 3) (z, y, x) mm along the array's axes, n at least 2, equally spaced.
    """

    points: npt.NDArray[np.float64]

    @cached_property
    def positions(self) -> npt.NDArray[np.float64]:
        """(n,) mm along the curve from its first point."""
        return _along(self.points)

    @property
    def length_mm(self) -> float:
        """Length of the curve."""
        return float(self.positions[-1])

    @cached_property
    def tangents(self) -> npt.NDArray[np.float64]:
        """(n, 3) unit vectors along the curve."""
        directions = np.gradient(self.points, axis=0)
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    def reversed(self) -> CentreLine:
        """Returns the same curve from its other end."""
        return CentreLine(self.points[::-1])

    def at(self, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns the points (m, 3) at (m,) positions in mm along the curve."""
        return np.stack([np.interp(positions, self.positions, axis) for axis in self.points.T], axis=1)

    def nearest(self, points: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Returns the (m,) index of the curve's point that is nearest to each of (m, 3) points (mm)."""
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(self.points).query(np.asarray(points, np.float64))[1], np.intp)

    def distance_mm(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the (m,) distances in mm of (m, 3) points (mm) from the curve's points."""
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(self.points).query(np.asarray(points, np.float64))[0], np.float64)


def centre_line(inside: Inside) -> CentreLine | None:
    """Returns the centre line of a piece between its two ends; None where it is hardly longer than wide.

    The ends are the voxels farthest apart along ways inside; the way between them that keeps to the middle becomes a
    smoothing spline.
    """
    first, last = inside.ends()
    line = middle_line(inside, inside.middle_ways(first), last)
    widest = 2 * float(inside.depth.max())
    return line if line is not None and line.length_mm > LEAST_ELONGATION * widest else None


def middle_line(inside: Inside, ways: MiddleWays, end: Index) -> CentreLine | None:
    """Returns the way to a voxel as a smooth curve; None where it is where the ways begin."""
    return smooth_line(inside.millimetres(ways.to(end)), max(inside.spacing))


def smooth_line(points: npt.NDArray[np.float64], voxel_mm: float) -> CentreLine | None:
    """Returns a smoothing spline through the voxels of a way; None for a single voxel.

    Args:
        points: (n, 3) mm.
        voxel_mm: largest side of a voxel.
    """
    from scipy.interpolate import make_splprep

    if len(points) < 2:
        return None
    along = _along(points)
    if len(points) >= LEAST_POINTS:
        spline, _ = make_splprep(points.T, u=along, s=len(points) * (SMOOTHING_VOXELS * voxel_mm) ** 2)
        points = np.asarray(spline(np.linspace(0.0, along[-1], FINER * len(points))).T, np.float64)
        along = _along(points)
    places = np.linspace(0.0, along[-1], max(2, round(along[-1] / STEP_MM) + 1))
    return CentreLine(np.stack([np.interp(places, along, axis) for axis in points.T], axis=1))


def _along(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the (n,) lengths in mm from the first of (n, 3) points."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])

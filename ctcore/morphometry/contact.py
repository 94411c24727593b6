"""How far a lesion goes around a vessel: degrees of its circumference, and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box
from ctcore.morphometry.centre_line import CentreLine
from ctcore.morphometry.paths import Spacing

RAYS = 120
"""Directions around the vessel: one every three degrees."""
STEP_VOXELS = 0.25
"""Along a ray, in units of the smallest voxel side."""
GAP_VOXELS = 0.5
"""A lesion touches where it lies no farther behind the wall, in units of the smallest voxel side."""
SMOOTHING_MM = 3.0
"""Degrees are means over this length of the vessel: the largest of single cross-sections is the most ragged one."""
HALF = 0.5
"""Occupancy at a surface."""
REACH_MM = 15.0
"""No vessel of the region has a larger radius."""


@dataclass(frozen=True)
class Contact:
    """Contact of a lesion with a vessel.

    Attributes:
        degrees: part of the circumference that touches, 0 to 360: the largest along the vessel, each a mean over
            `SMOOTHING_MM` of it.
        length_mm: of the vessel's course where anything touches.
    """

    degrees: float
    length_mm: float


def vessel_contact(vessel: npt.NDArray[Any], lesion: npt.NDArray[Any], spacing: Spacing, line: CentreLine) -> Contact:
    """Measures contact across the vessel's centre line.

    From every point of the line rays go out at right angles to it, to where the vessel ends; a ray touches where the
    lesion begins within `GAP_VOXELS` behind that wall. Touching rays, each worth its share of 360 degrees, are counted
    whether they are neighbours or not.

    Args:
        vessel: (z, y, x), non-zero inside.
        lesion: (z, y, x), non-zero inside.
        spacing: (z, y, x) mm.
        line: the vessel's centre line.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.spatial import cKDTree

    box = Box.of_mask(lesion)
    if box is None:
        return Contact(0.0, 0.0)
    box = box.expand_mm((2 * REACH_MM,) * 3, spacing).clip(lesion.shape)
    origin = np.asarray(box.start) * spacing
    inside, mass = (np.asarray(mask[box.slices] != 0, np.float32) for mask in (vessel, lesion))
    near = np.isfinite(
        cKDTree(np.argwhere(mass) * spacing + origin).query(line.points, distance_upper_bound=REACH_MM)[0]
    )
    steps = np.arange(0.0, REACH_MM, STEP_VOXELS * min(spacing))
    angles = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
    behind = int(np.ceil(GAP_VOXELS / STEP_VOXELS))
    touching = np.zeros(len(line.points))
    for number in np.flatnonzero(near):
        first, second = _across(line.tangents[number])
        rays = np.cos(angles)[:, np.newaxis] * first + np.sin(angles)[:, np.newaxis] * second
        places = (line.points[number] - origin + rays[:, np.newaxis] * steps[:, np.newaxis]) / np.asarray(spacing)
        in_vessel = _along_rays(inside, places) >= HALF
        wall = np.where(in_vessel.all(axis=1), len(steps), np.argmin(in_vessel, axis=1))  # the first step outside
        window = wall[:, np.newaxis] + np.arange(behind)
        there = np.minimum(window, len(steps) - 1)
        in_lesion = _along_rays(mass, np.take_along_axis(places, there[..., np.newaxis], axis=1)) >= HALF
        touching[number] = (in_lesion & (window < len(steps))).any(axis=1).mean()
    step = line.length_mm / (len(line.points) - 1)
    smooth = uniform_filter1d(touching, max(1, round(SMOOTHING_MM / step)), mode="nearest")
    return Contact(360.0 * float(smooth.max()), step * int(np.count_nonzero(touching)))


def _along_rays(occupancy: npt.NDArray[np.float32], places: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Returns the values (rays, steps) of an array (z, y, x) at places (rays, steps, 3), linear between voxels."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(occupancy, np.moveaxis(places, -1, 0), order=1, mode="constant"))


def _across(tangent: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns two unit vectors at right angles to a third and to one another."""
    helper = np.eye(3)[int(np.argmin(np.abs(tangent)))]
    first = np.cross(tangent, helper)
    first /= np.linalg.norm(first)
    return first, np.cross(tangent, first)

"""A label map turned, scaled and bent: another patient's pancreas, as far as a network can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ctcore.geometry import Box
from ctcore.phantom.anatomy import LabelMap
from ctcore.phantom.deformation import random_deformation
from ctcore.phantom.draws import Draws

TURN_DEGREES = 8.0
"""Standard deviation of the turn about each axis."""
SCALE = 0.08
"""Standard deviation of the scale along each axis."""
GRAIN_MM = (40.0, 70.0)
"""Distance of the nodes between which the map is bent."""


def bent(source: LabelMap, draws: Draws, amplitude_mm: float) -> LabelMap:
    """Returns another label map made of one; the same one where its lesion would be lost.

    Args:
        source: the label map.
        draws: source of everything random; takes the record.
        amplitude_mm: standard deviation of the displacement along each axis, in mm.
    """
    spacing, count = np.asarray(source.spacing), np.asarray(source.array.shape[::-1])
    size = count * spacing
    pad = np.ceil((2.0 * amplitude_mm + 0.15 * size) / spacing).astype(int)
    turn, scale = draws.vector("bending.turn", [TURN_DEGREES] * 3), draws.vector("bending.scale", [SCALE] * 3)
    grain = draws.uniform("bending.grain", *GRAIN_MM)
    axes = [(np.arange(n + 2 * p) - p + 0.5) * s - n * s / 2 for n, p, s in zip(count, pad, spacing, strict=True)]
    low, high = ((axis[end] for axis in axes) for end in (0, -1))
    field = random_deformation(draws.stream("bending.field"), tuple(low), tuple(high), grain, amplitude_mm)
    points = np.stack(np.meshgrid(*axes[::-1], indexing="ij")[::-1]) + field.on_axes(*axes)  # (x y z, z, y, x), in mm
    moved = np.tensordot(rotation(np.deg2rad(turn)), points, axes=1) * np.exp(-np.asarray(scale))[:, None, None, None]
    places = (moved + (size / 2)[:, None, None, None]) / spacing[:, None, None, None] - 0.5
    array = ndimage.map_coordinates(source.array, places[::-1], order=0)
    labelled = Box.of_mask(array != 0)
    held = array if labelled is None else array[labelled.expand((2, 2, 2)).clip(array.shape).slices]
    result = replace(source, array=np.ascontiguousarray(held))
    draws.note("bending.lesion_lost", source.has_lesion and not result.has_lesion)  # a voxel or two between two others
    return source if draws.record["bending.lesion_lost"] else result


def rotation(angles: np.ndarray) -> np.ndarray:
    """(3, 3) matrix that turns about x, then y, then z, by angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)

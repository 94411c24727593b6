"""Shapes of a phantom on its working grid: ellipsoids, and tubes along curves, as signed distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from ctcore.phantom.deformation import Triple
from ctcore.phantom.frame import Frame, Window, is_empty

FAR_MM = 8.0  # how far from its surface a shape's distance is computed
OUTSIDE_MM = 1000.0  # the distance that stands for "farther than that"


@dataclass(frozen=True, eq=False)
class Patch:
    """A shape on a part of a grid.

    Attributes:
        window: The part of the grid.
        distance: Signed distance to the surface in mm, negative inside; at most about `FAR_MM` is exact.
        nearest: For a tube, the index of the nearest centreline point; None for other shapes.
    """

    window: Window
    distance: np.ndarray
    nearest: np.ndarray | None = None


def curve(points: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve through control points.

    Args:
        points: (n, 3) control points, in mm.
        step: Distance between the returned points, about, in mm.

    Returns:
        (m, 3) points and (m,) positions, where position i.0 is control point i.
    """
    points = np.asarray(points, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.maximum(np.linalg.norm(np.diff(points, axis=0), axis=1), 1e-3))])
    count = max(2, int(np.ceil(chord[-1] / step)) + 1)
    along = np.linspace(0.0, chord[-1], count)
    position = np.interp(along, chord, np.arange(len(points)))
    if len(points) == 2:
        return np.stack([np.interp(along, chord, points[:, axis]) for axis in range(3)], axis=1), position
    return CubicSpline(chord, points, axis=0)(along), position


def tube(
    frame: Frame,
    points: np.ndarray,
    radii: np.ndarray | float,
    *,
    stretch: np.ndarray | Sequence[float] = (1.0, 1.0, 1.0),
    with_nearest: bool = False,
    reach: float = FAR_MM,
) -> Patch | None:
    """A round or oval tube around a centreline.

    Args:
        frame: Grid to evaluate on.
        points: (n, 3) anatomical centreline points, in mm, closer to each other than the radius.
        radii: Radius at each point, in mm (before stretching).
        stretch: Factors along x, y, z by which the cross-section is longer than the radius: (3,) or (n, 3).
        with_nearest: Also return which centreline point is nearest.
        reach: Distance from the surface up to which the result is computed, in mm.

    Returns:
        The shape, or None where the tube misses the grid.
    """
    points = np.asarray(points, dtype=np.float64)
    radius = np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(points),))
    factors = np.broadcast_to(np.asarray(stretch, dtype=np.float64), (len(points), 3))
    margin = (radius + reach)[:, None] * np.maximum(factors, 1.0)
    # Saves the way to the grid for what lies far from it.
    near = np.flatnonzero(frame.near(points, margin))
    if len(near) == 0:
        return None
    centres = frame.deformation.to_grid(points[near])
    radius, factors, margin = radius[near], factors[near], margin[near]
    window = frame.window((centres - margin).min(axis=0), (centres + margin).max(axis=0), moved=False)
    if is_empty(window):
        return None
    shape = tuple(part.stop - part.start for part in window)
    distance = np.full(shape, OUTSIDE_MM, dtype=np.float32)
    nearest = np.zeros(shape, dtype=np.int16) if with_nearest else None
    for index in range(len(centres)):
        part = frame.window(centres[index] - margin[index], centres[index] + margin[index], moved=False)
        if is_empty(part):
            continue
        squares = [
            ((frame.axes[axis][part[2 - axis]] - centres[index, axis]) / factors[index, axis]).astype(np.float32) ** 2
            for axis in range(3)
        ]
        block = np.sqrt(squares[2][:, None, None] + squares[1][None, :, None] + squares[0][None, None, :])
        block -= np.float32(radius[index])
        local = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, window, strict=True))
        target = distance[local]
        if nearest is not None:
            nearest[local][block < target] = near[index]
        np.minimum(target, block, out=target)
    return Patch(window=window, distance=distance, nearest=nearest)


def ellipsoid(
    frame: Frame,
    centre: Triple,
    radii: Triple,
    *,
    rotation: np.ndarray | None = None,
    reach: float = FAR_MM,
) -> Patch | None:
    """An ellipsoid; the distance is the usual first-order one, exact at the surface.

    Args:
        frame: Grid to evaluate on.
        centre: (x, y, z) in mm.
        radii: Half axes in mm.
        rotation: (3, 3) rotation whose rows are the half axes' directions; None for the grid's axes.
        reach: Distance from the surface up to which the result is computed, in mm.

    Returns:
        The shape, or None where it misses the grid.
    """
    half = np.asarray(radii, dtype=np.float64)
    centre_point = np.asarray(centre, dtype=np.float64)
    box = half if rotation is None else np.sqrt(((rotation * half[:, None]) ** 2).sum(axis=0))
    window = frame.window(centre_point - box - reach, centre_point + box + reach)
    if is_empty(window):
        return None
    offsets = [
        coordinate - np.float32(value)
        for coordinate, value in zip(frame.coordinates(window), centre_point, strict=True)
    ]
    if rotation is not None:
        offsets = [
            np.float32(row[0]) * offsets[0] + np.float32(row[1]) * offsets[1] + np.float32(row[2]) * offsets[2]
            for row in rotation
        ]
    level = np.zeros_like(offsets[0])
    slope = np.zeros_like(offsets[0])
    for offset, radius in zip(offsets, half, strict=True):
        scaled = offset / np.float32(radius)
        level += scaled**2
        slope += (scaled / np.float32(radius)) ** 2
    root = np.sqrt(level)
    distance = root * (root - 1.0) / np.sqrt(np.maximum(slope, 1e-8))
    # At the very centre both root and slope vanish; the smallest half axis is the depth there.
    distance = np.where(root < 1e-3, np.float32(-half.min()), distance)
    return Patch(window=window, distance=distance.astype(np.float32))


def rotation_about(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about the x (0), y (1) or z (2) axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix

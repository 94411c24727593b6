"""The working grid of a phantom: isotropic, axis-aligned, with smoothly deformed anatomical coordinates.

Anatomical coordinates are LPS millimetres (x to the left, y to the back, z to the head) with the origin on the midline,
at the front of the spine, at the level of the pancreatic neck. A deformation moves them away from the grid's own
coordinates, so that a simple implicit function of (x, y, z) becomes an irregular shape on the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

Window = tuple[slice, slice, slice]
Triple = Sequence[float] | np.ndarray
FAR_MM = 8.0  # how far from its surface a shape's distance is computed
INVERSE_STEPS = 4  # the deformation is gentle: each step divides the error by about five
OUTSIDE_MM = 1000.0  # the distance that stands for "farther than that"


def _cubic(distance: np.ndarray) -> np.ndarray:
    """The cubic B-spline at a distance given in nodes."""
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    return np.where(distance < 1.0, near, far)


@dataclass(frozen=True, eq=False)
class Deformation:
    """A smooth displacement field given on a lattice and interpolated with cubic B-splines.

    Attributes:
        origin: (x, y, z) of the lattice's first node, in mm.
        spacing: Distance between nodes, in mm.
        nodes: (3, nz, ny, nx) displacements along x, y and z, in mm.
    """

    origin: tuple[float, float, float]
    spacing: float
    nodes: np.ndarray

    @property
    def largest(self) -> float:
        """A displacement along an axis that none exceeds, in mm."""
        return float(np.abs(self.nodes).max())

    def _weights(self, coordinates: np.ndarray, axis: int) -> np.ndarray:
        """(points, nodes) values of the cubic B-spline basis along one axis (0 is x)."""
        count = self.nodes.shape[3 - axis]
        position = (np.asarray(coordinates, dtype=np.float64) - self.origin[axis]) / self.spacing
        distance = np.abs(np.clip(position, 0.0, count - 1.0)[:, None] - np.arange(count)[None, :])
        weights = _cubic(distance)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

    def on_axes(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(3, z, y, x) displacements on the grid spanned by three axes."""
        along_x, along_y, along_z = (self._weights(axis, number) for number, axis in enumerate((x, y, z)))
        field = self.nodes.astype(np.float32) @ along_x.T
        field = np.einsum("yj,cijx->ciyx", along_y, field, optimize=True)
        shape = (3, along_z.shape[0], field.shape[2], field.shape[3])
        return np.asarray(np.matmul(along_z, field.reshape(3, field.shape[1], -1)).reshape(shape))

    def at(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) displacements at (n, 3) points, in mm."""
        # Only four nodes along each axis have weight at a point; indices are (axis, point, node).
        first, weights = [], []
        for axis in range(3):
            count = self.nodes.shape[3 - axis]
            position = np.clip((points[:, axis] - self.origin[axis]) / self.spacing, 0.0, count - 1.0)
            start = np.clip(np.floor(position).astype(np.intp) - 1, 0, count - 4)
            nodes = start[:, None] + np.arange(4)
            values = _cubic(np.abs(position[:, None] - nodes))
            first.append(nodes)
            weights.append(values / values.sum(axis=1, keepdims=True))
        held = self.nodes[:, first[2][:, :, None, None], first[1][:, None, :, None], first[0][:, None, None, :]]
        held = (held * weights[0][:, None, None, :]).sum(axis=-1)
        held = (held * weights[1][:, None, :]).sum(axis=-1)
        return np.asarray((held * weights[2]).sum(axis=-1).T)

    def to_grid(self, points: np.ndarray) -> np.ndarray:
        """Where on the grid the anatomical points lie (the inverse of adding the displacement)."""
        guess = np.asarray(points, dtype=np.float64)
        for _ in range(INVERSE_STEPS):
            guess = points - self.at(guess)
        return guess


def random_deformation(
    generator: np.random.Generator,
    low: Triple,
    high: Triple,
    spacing: float,
    amplitude: float,
) -> Deformation:
    """A deformation that covers the box from `low` to `high` (x, y, z in mm).

    Args:
        generator: Source of the random displacements.
        low: Lower corner of the box, in mm.
        high: Upper corner of the box, in mm.
        spacing: Distance between the lattice's nodes, in mm.
        amplitude: Standard deviation of the displacement along each axis, about, in mm.
    """
    counts = [int(np.ceil((top - bottom) / spacing)) + 3 for bottom, top in zip(low, high, strict=True)]
    # The B-spline halves the variance of independent nodes along each axis; 1.7 makes up for it.
    nodes = generator.normal(0.0, 1.7 * amplitude, size=(3, counts[2], counts[1], counts[0]))
    np.clip(nodes, -3.5 * amplitude, 3.5 * amplitude, out=nodes)
    origin = (low[0] - spacing, low[1] - spacing, low[2] - spacing)
    return Deformation(origin=origin, spacing=spacing, nodes=nodes)


class Frame:
    """A working grid with the anatomical coordinates of its nodes.

    Attributes:
        origin: (x, y, z) of node (0, 0, 0) in mm.
        spacing: Distance between nodes, in mm, the same along all axes.
        shape: Number of nodes (z, y, x).
        axes: The grid's own x, y and z coordinates, in mm.
        x, y, z: (z, y, x) arrays, anatomical coordinates of every node, in mm.
    """

    def __init__(self, low: Triple, high: Triple, spacing: float, deformation: Deformation) -> None:
        counts = [max(2, int(np.ceil((top - bottom) / spacing)) + 1) for bottom, top in zip(low, high, strict=True)]
        self.origin = (float(low[0]), float(low[1]), float(low[2]))
        self.spacing = float(spacing)
        self.shape = (counts[2], counts[1], counts[0])
        self.axes = tuple(
            (start + spacing * np.arange(count)).astype(np.float32)
            for start, count in zip(self.origin, counts, strict=True)
        )
        self.deformation = deformation
        moved = deformation.on_axes(*self.axes)
        self.x = moved[0] + self.axes[0][None, None, :]
        self.y = moved[1] + self.axes[1][None, :, None]
        self.z = moved[2] + self.axes[2][:, None, None]
        self._reach = float(max(abs(moved.min()), abs(moved.max())))

    def window(self, low: Triple, high: Triple, *, moved: bool = True) -> Window:
        """The part of the grid that can hold anatomical points of the box from `low` to `high` (may be empty).

        Args:
            low: (x, y, z) lower corner, in mm.
            high: (x, y, z) upper corner, in mm.
            moved: Widen the box by the largest displacement; False where the box is one of grid coordinates.
        """
        margin = self._reach if moved else 0.0
        slices = []
        for axis in (2, 1, 0):
            count = self.shape[2 - axis]
            start = int(np.floor((low[axis] - margin - self.origin[axis]) / self.spacing))
            stop = int(np.ceil((high[axis] + margin - self.origin[axis]) / self.spacing)) + 1
            start, stop = min(max(start, 0), count), min(max(stop, 0), count)
            slices.append(slice(start, max(start, stop)))
        return slices[0], slices[1], slices[2]

    def near(self, points: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """(n,) whether the grid may hold something within (n, 3) `margin` mm of (n, 3) anatomical points."""
        reach = margin + self.deformation.largest + self.spacing
        low, high = (np.array([axis[end] for axis in self.axes]) for end in (0, -1))
        return np.asarray(((points + reach >= low) & (points - reach <= high)).all(axis=1))

    def coordinates(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The anatomical x, y and z of a window's nodes, in mm."""
        return self.x[window], self.y[window], self.z[window]


def is_empty(window: Window) -> bool:
    """True where a window holds no node."""
    return any(part.stop <= part.start for part in window)


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

"""Smooth displacement: a simple implicit function of (x, y, z) becomes an irregular shape on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Triple = Sequence[float] | np.ndarray
INVERSE_STEPS = 4  # the deformation is gentle: each step divides the error by about five


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

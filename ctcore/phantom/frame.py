"""The working grid of a phantom: isotropic, axis-aligned, with smoothly deformed anatomical coordinates.

Anatomical coordinates are LPS millimetres (x to the left, y to the back, z to the head) with the origin on the midline,
at the front of the spine, at the level of the pancreatic neck. A deformation moves them away from the grid's own.
"""

from __future__ import annotations

import numpy as np

from ctcore.phantom.deformation import Deformation, Triple

Window = tuple[slice, slice, slice]


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

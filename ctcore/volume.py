"""A volume: a 3-D array that never travels without its geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import GeometryError

IDENTITY_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Direction of an array stored in LPS order: x to the left, y to the back, z to the head."""

ORTHONORMAL_TOLERANCE = 1e-4
"""Largest deviation of direction^T direction from identity: above a NIfTI's float32 rounding, below any real shear."""


@dataclass(frozen=True)
class Geometry:
    """Where a voxel grid lies in the patient: ITK's convention, LPS millimetres.

    Attributes:
        shape: number of voxels (z, y, x), the order of the array.
        spacing: distance of voxel centres (x, y, z) in mm, ITK's order.
        origin: position (x, y, z) of the centre of voxel (0, 0, 0), LPS mm.
        direction: nine numbers, row-major; column i is the direction in LPS of index axis x, y, z.

    Raises:
        GeometryError: a size below 1, a spacing that is not positive and finite, an origin that is not finite, or a
            direction that is not orthonormal (a sheared or degenerate grid).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY_DIRECTION

    def __post_init__(self) -> None:
        shape, spacing, origin, direction = self.shape, self.spacing, self.origin, self.direction
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"shape {tuple(shape)} is not three sizes of at least 1; give a 3-D volume")
        if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(f"spacing {tuple(spacing)} mm is not three positive numbers; correct the image header")
        if len(origin) != 3 or not all(math.isfinite(o) for o in origin):
            raise GeometryError(f"origin {tuple(origin)} mm is not three finite numbers; correct the image header")
        if len(direction) != 9 or not all(math.isfinite(d) for d in direction):
            raise GeometryError(f"direction {tuple(direction)} is not nine finite numbers; correct the image header")
        matrix = np.asarray(direction, dtype=np.float64).reshape(3, 3)
        if not np.allclose(matrix.T @ matrix, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
            raise GeometryError(
                f"direction {tuple(direction)} is not orthonormal (sheared or scaled grid); resample the image to an"
                " orthogonal grid first"
            )
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "spacing", tuple(float(s) for s in spacing))
        object.__setattr__(self, "origin", tuple(float(o) for o in origin))
        object.__setattr__(self, "direction", tuple(float(d) for d in direction))

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Direction as a (3, 3) matrix whose columns are the x, y, z index axes in LPS."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Spacing (z, y, x) in mm, the order of the array."""
        return self.spacing[2], self.spacing[1], self.spacing[0]

    @property
    def size_xyz(self) -> tuple[int, int, int]:
        """Number of voxels (x, y, z), ITK's order."""
        return self.shape[2], self.shape[1], self.shape[0]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return math.prod(self.spacing) / 1000.0

    @property
    def extent_mm_zyx(self) -> tuple[float, float, float]:
        """Size of the field of view (z, y, x) in mm, from voxel edge to voxel edge."""
        z, y, x = (n * s for n, s in zip(self.shape, self.spacing_zyx, strict=True))
        return z, y, x

    def index_to_physical(self, index_zyx: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Maps continuous indices (..., 3) in (z, y, x) order to points (..., 3) in (x, y, z) LPS mm."""
        index_xyz = np.asarray(index_zyx, dtype=np.float64)[..., ::-1]
        return np.asarray((index_xyz * np.asarray(self.spacing)) @ self.matrix.T + np.asarray(self.origin))

    def physical_to_index(self, points_xyz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Maps points (..., 3) in (x, y, z) LPS mm to continuous indices (..., 3) in (z, y, x) order."""
        offset = np.asarray(points_xyz, dtype=np.float64) - np.asarray(self.origin)
        index_xyz = (offset @ np.linalg.inv(self.matrix).T) / np.asarray(self.spacing)
        return np.asarray(index_xyz[..., ::-1])

    def allclose(self, other: Geometry, relative: float = 1e-3) -> bool:
        """Tells whether two grids coincide.

        Args:
            other: the grid to compare with.
            relative: tolerance of spacing (relative), of the origin (in voxels) and of the direction (absolute).
        """
        if self.shape != other.shape:
            return False
        origin_shift = np.abs(np.subtract(self.origin, other.origin)).max()
        return bool(
            np.allclose(self.spacing, other.spacing, rtol=relative, atol=0)
            and np.allclose(self.direction, other.direction, rtol=0, atol=relative)
            and origin_shift <= relative * min(self.spacing)
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D scalar array and its geometry.

    Attributes:
        array: values of shape (z, y, x).
        geometry: the grid that the array lies on; its shape is the array's.
        flags: what a reader must know of the file that it comes from.

    Raises:
        GeometryError: the array is not 3-D or its shape is not the geometry's.
    """

    array: npt.NDArray[Any]
    geometry: Geometry
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise GeometryError(
                f"array of shape {self.array.shape} does not lie on a grid of shape {self.geometry.shape};"
                " give both in (z, y, x) order"
            )

    def with_array(self, array: npt.NDArray[Any]) -> Volume:
        """Returns other values (z, y, x) on the same grid, without flags."""
        return Volume(array, self.geometry)

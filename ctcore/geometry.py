"""Boxes, margins, crop, paste-back and reorientation to LPS: the only copy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.errors import GeometryError
from ctcore.volume import Geometry, Volume

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """An axis-aligned index box of a grid.

    Attributes:
        start: first index (z, y, x) inside.
        stop: first index (z, y, x) outside; every stop is above its start.

    Raises:
        GeometryError: the box is empty along an axis.
    """

    start: Triple
    stop: Triple

    def __post_init__(self) -> None:
        if (
            len(self.start) != 3
            or len(self.stop) != 3
            or any(b <= a for a, b in zip(self.start, self.stop, strict=True))
        ):
            raise GeometryError(f"box {self.start} to {self.stop} is empty; every stop must exceed its start")

    @classmethod
    def whole(cls, shape: Triple) -> Box:
        """Returns the box of a complete grid of `shape` (z, y, x)."""
        return cls((0, 0, 0), shape)

    @classmethod
    def of_mask(cls, mask: npt.NDArray[Any]) -> Box | None:
        """Returns the tightest box around the non-zero voxels of a (z, y, x) array, or None if there is none."""
        bounds: list[tuple[int, int]] = []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            hit = np.flatnonzero(mask.any(axis=others))
            if hit.size == 0:
                return None
            bounds.append((int(hit[0]), int(hit[-1]) + 1))
        (z0, z1), (y0, y1), (x0, x1) = bounds
        return cls((z0, y0, x0), (z1, y1, x1))

    @property
    def shape(self) -> Triple:
        """Number of voxels (z, y, x) inside."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels inside."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of a (z, y, x) array."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    def expand(self, voxels: Triple) -> Box:
        """Grows the box by `voxels` (z, y, x) on both sides; it may then leave the grid (see `clip`)."""
        z0, y0, x0 = (a - n for a, n in zip(self.start, voxels, strict=True))
        z1, y1, x1 = (b + n for b, n in zip(self.stop, voxels, strict=True))
        return Box((z0, y0, x0), (z1, y1, x1))

    def expand_mm(self, margin_mm_zyx: tuple[float, float, float], spacing_zyx: tuple[float, float, float]) -> Box:
        """Grows the box by at least a margin (z, y, x) in mm on both sides."""
        z, y, x = (math.ceil(m / s) for m, s in zip(margin_mm_zyx, spacing_zyx, strict=True))
        return self.expand((z, y, x))

    def clip(self, shape: Triple) -> Box:
        """Cuts the box to a grid of `shape` (z, y, x).

        Raises:
            GeometryError: nothing of the box lies on the grid.
        """
        z0, y0, x0 = (max(a, 0) for a in self.start)
        z1, y1, x1 = (min(b, n) for b, n in zip(self.stop, shape, strict=True))
        return Box((z0, y0, x0), (z1, y1, x1))


def crop(volume: Volume, box: Box) -> Volume:
    """Cuts a box out of a volume; the result keeps its place in the patient.

    Raises:
        GeometryError: the box leaves the grid.
    """
    geometry = volume.geometry
    _check_inside(box, geometry.shape)
    origin = geometry.index_to_physical(box.start)
    cropped = Geometry(box.shape, geometry.spacing, (origin[0], origin[1], origin[2]), geometry.direction)
    return Volume(volume.array[box.slices], cropped)


def _check_inside(box: Box, shape: Triple) -> None:
    if min(box.start) < 0 or any(b > n for b, n in zip(box.stop, shape, strict=True)):
        raise GeometryError(f"box {box.start} to {box.stop} leaves the grid {shape}; clip it first")


def paste(array: npt.NDArray[Any], box: Box, shape: Triple, fill: float = 0) -> npt.NDArray[Any]:
    """Returns an array of `shape` (z, y, x) that holds `array` inside `box` and `fill` elsewhere."""
    whole = np.full(shape, fill, dtype=array.dtype)
    whole[box.slices] = array
    return whole


@dataclass(frozen=True, eq=False)
class Inset:
    """A volume that is 0 outside a box, of which only what lies inside exists.

    Attributes:
        array: values of shape (z, y, x) inside the box.
        box: an index box of the grid.
        geometry: the grid of the whole volume.

    Raises:
        GeometryError: the box leaves the grid, or the array is not of its shape.
    """

    array: npt.NDArray[Any]
    box: Box
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_inside(self.box, self.geometry.shape)
        if self.array.shape != self.box.shape:
            raise GeometryError(f"array of shape {self.array.shape} does not fill a box of {self.box.shape}")

    @classmethod
    def of(cls, volume: Volume | Inset) -> Inset:
        """Returns a volume as its own inset; an inset as it is."""
        return (
            volume
            if isinstance(volume, Inset)
            else cls(volume.array, Box.whole(volume.geometry.shape), volume.geometry)
        )

    def whole(self) -> Volume:
        """Returns the whole volume."""
        return Volume(paste(self.array, self.box, self.geometry.shape), self.geometry)


@dataclass(frozen=True)
class Reorientation:
    """An exact change between a stored grid and its LPS form: a permutation of axes, then flips.

    Attributes:
        axes: for each array axis (z, y, x) of the LPS form, the stored array axis it comes from.
        flips: whether that axis runs against LPS in the stored array.
        stored: the grid as stored.
    """

    axes: Triple
    flips: tuple[bool, bool, bool]
    stored: Geometry

    def _flip(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return z, y, x

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Brings a stored array (z, y, x) to LPS order."""
        return np.ascontiguousarray(array.transpose(self.axes)[self._flip()])

    def restore(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Takes an array in LPS order back to the stored order."""
        inverse = np.argsort(self.axes)
        return np.ascontiguousarray(array[self._flip()].transpose(inverse))

    def apply_box(self, box: Box) -> Box:
        """Takes an index box of the stored grid to the LPS form."""
        start, stop = [0, 0, 0], [0, 0, 0]
        for axis, (source, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            a, b, n = box.start[source], box.stop[source], self.stored.shape[source]
            start[axis], stop[axis] = (n - b, n - a) if flip else (a, b)
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def restore_geometry(self, geometry: Geometry) -> Geometry:
        """Takes the grid of a crop of the LPS form, or of another spacing, to the stored order of axes."""
        inverse = np.argsort(self.axes)
        z, y, x = (geometry.shape[axis] for axis in inverse)
        sz, sy, sx = (geometry.spacing_zyx[axis] for axis in inverse)
        corner = [n - 1 if flip else 0 for n, flip in zip(geometry.shape, self.flips, strict=True)]
        origin = geometry.index_to_physical(corner)
        return Geometry(
            (z, y, x), (sx, sy, sz), (float(origin[0]), float(origin[1]), float(origin[2])), self.stored.direction
        )

    def restore_box(self, box: Box) -> Box:
        """Takes an index box of the LPS form to the stored grid."""
        start, stop = [0, 0, 0], [0, 0, 0]
        for axis, (source, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            a, b, n = box.start[axis], box.stop[axis], self.stored.shape[source]
            start[source], stop[source] = (n - b, n - a) if flip else (a, b)
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def as_stored(volume: Volume) -> tuple[Volume, Reorientation]:
    """Returns a volume as it is, with the way back that changes nothing: in the place of `to_lps`."""
    return volume, Reorientation((0, 1, 2), (False, False, False), volume.geometry)


def to_lps(volume: Volume) -> tuple[Volume, Reorientation]:
    """Brings a volume to the axis order and signs nearest to LPS, without interpolation.

    An oblique direction keeps its residual rotation; only axes are permuted and flipped, so going back is exact.
    """
    geometry = volume.geometry
    matrix = geometry.matrix
    best: tuple[float, Triple] = (-1.0, (0, 1, 2))
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        fit = sum(abs(matrix[lps, index]) for lps, index in enumerate(order))
        if fit > best[0] + 1e-9:
            best = (fit, order)
    order_xyz = best[1]  # stored index axis (x, y, z) that runs along L, P, S
    flips_xyz = tuple(bool(matrix[lps, index] < 0) for lps, index in enumerate(order_xyz))
    axes: Triple = (2 - order_xyz[2], 2 - order_xyz[1], 2 - order_xyz[0])
    flips = (flips_xyz[2], flips_xyz[1], flips_xyz[0])
    reorientation = Reorientation(axes, flips, geometry)
    array = reorientation.apply(volume.array)

    corner_xyz = [0.0, 0.0, 0.0]  # stored index of the voxel that becomes (0, 0, 0)
    for index, flip in zip(order_xyz, flips_xyz, strict=True):
        corner_xyz[index] = geometry.size_xyz[index] - 1 if flip else 0
    origin = geometry.index_to_physical(corner_xyz[::-1])
    signs = np.where(flips_xyz, -1.0, 1.0)
    direction = matrix[:, list(order_xyz)] * signs
    sx, sy, sz = (geometry.spacing[index] for index in order_xyz)
    lps = Geometry(
        (array.shape[0], array.shape[1], array.shape[2]),
        (sx, sy, sz),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(d) for d in direction.ravel()),
    )
    return Volume(array, lps), reorientation

"""Resampling: the only copy.

Grids are resampled over an unchanged field of view: voxel edges of the first and last voxel stay where they are, so the
spacing becomes extent / size. Going to fewer voxels the triangle filter widens with the ratio (no aliasing), going to
more it is linear interpolation.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.bounds import check_resampled
from ctcore.errors import GeometryError
from ctcore.geometry import Box, Triple
from ctcore.linear import linear_weights, resample_linear
from ctcore.volume import Geometry, Volume

Interpolation = Literal["linear", "nearest"]

ROUNDING = 1e-6
"""Weights up to this are 0 but for rounding."""


def nearest_index(size: int, new_size: int) -> npt.NDArray[np.intp]:
    """Returns, for each of `new_size` voxels, the voxel of `size` whose centre is nearest."""
    centre = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    return np.asarray(np.clip(np.floor(centre + 0.5).astype(np.intp), 0, size - 1))


def resample_array(
    array: npt.NDArray[Any],
    shape: Triple,
    interpolation: Interpolation = "linear",
    *,
    inside: Box | None = None,
) -> npt.NDArray[Any]:
    """Resamples the last three axes of an array to `shape` over the same field of view.

    Args:
        array: values of shape (..., z, y, x).
        shape: new sizes (z, y, x).
        interpolation: `linear` (antialiased, returns float32) or `nearest` (labels; keeps the dtype).
        inside: box of the new grid to compute; all of it if not given. Its voxels are what they are in the whole, but
            for rounding: a large result can so be made slab by slab.

    Returns:
        Array of shape (..., *shape), or (..., *inside.shape).

    Raises:
        GeometryError: a size of `shape` is below 1, or the box leaves the new grid.
    """
    if min(shape) < 1:
        raise GeometryError(f"cannot resample to shape {shape}; every size must be at least 1")
    depth, height, width = array.shape[-3:]
    old = (depth, height, width)
    wanted = inside or Box.whole(shape)
    if wanted.clip(shape) != wanted:
        raise GeometryError(f"box {wanted.start} to {wanted.stop} leaves the grid {shape}; clip it first")
    if interpolation == "nearest":
        z, y, x = (nearest_index(n, m)[part] for n, m, part in zip(old, shape, wanted.slices, strict=True))
        return np.ascontiguousarray(array[..., z[:, None, None], y[None, :, None], x[None, None, :]])
    return resample_linear(array, Box.whole(old), old, shape, wanted)


def reach(box: Box, old: Triple, shape: Triple) -> Box | None:
    """Returns the voxels of a grid of `shape` that linear resampling makes of the voxels in a box of another alone.

    Args:
        box: of a grid of sizes `old` (z, y, x).
        old: sizes of that grid.
        shape: sizes of the new grid, over the same field of view.

    Returns:
        Their box, None if there are none.
    """
    start, stop = [], []
    for axis in range(3):
        outside = linear_weights(old[axis], shape[axis]) > ROUNDING
        outside[:, box.start[axis] : box.stop[axis]] = False
        inside = np.flatnonzero(~outside.any(axis=1))
        if inside.size == 0:
            return None
        start.append(int(inside[0]))
        stop.append(int(inside[-1]) + 1)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def resample_part(part: npt.NDArray[Any], box: Box, old: Triple, shape: Triple, wanted: Box) -> npt.NDArray[np.float32]:
    """Resamples linearly what is known of an array: as `resample_array` of all of it, voxel by voxel.

    Args:
        part: values (..., z, y, x) inside `box` of a grid of sizes `old`.
        box: where they lie.
        old: sizes (z, y, x) of their grid.
        shape: sizes of the new grid, over the same field of view.
        wanted: box of the new grid that is computed.

    Raises:
        GeometryError: the box wanted draws on voxels that are not known (see `reach`).
    """
    reached = reach(box, old, shape)
    if reached is None or wanted.clip(shape) != wanted or not _within(wanted, reached):
        raise GeometryError(
            f"box {wanted.start} to {wanted.stop} of a grid of {shape} draws on more than box {box.start} to {box.stop}"
            f" of a grid of {old}; ask for what `reach` gives"
        )
    return resample_linear(part, box, old, shape, wanted)


def _within(inner: Box, outer: Box) -> bool:
    return all(a >= b for a, b in zip(inner.start, outer.start, strict=True)) and all(
        a <= b for a, b in zip(inner.stop, outer.stop, strict=True)
    )


def resampled_geometry(geometry: Geometry, shape: Triple) -> Geometry:
    """Returns the grid of `shape` (z, y, x) that covers the same field of view."""
    ratio = np.asarray(geometry.shape) / np.asarray(shape)
    origin = geometry.index_to_physical(ratio * 0.5 - 0.5)
    sz, sy, sx = (float(s * r) for s, r in zip(geometry.spacing_zyx, ratio, strict=True))
    return Geometry(shape, (sx, sy, sz), (origin[0], origin[1], origin[2]), geometry.direction)


def resample_to_shape(volume: Volume, shape: Triple, interpolation: Interpolation = "linear") -> Volume:
    """Resamples a volume to `shape` (z, y, x) over the same field of view."""
    if shape == volume.geometry.shape:
        return volume
    return Volume(resample_array(volume.array, shape, interpolation), resampled_geometry(volume.geometry, shape))


def shape_for_spacing(geometry: Geometry, spacing_zyx: tuple[float, float, float]) -> Triple:
    """Returns the sizes (z, y, x) that bring a grid nearest to a spacing (z, y, x) in mm.

    Raises:
        GeometryError: they make more voxels than are resampled to (`ctcore.bounds`).
    """
    z, y, x = (max(1, round(e / s)) for e, s in zip(geometry.extent_mm_zyx, spacing_zyx, strict=True))
    check_resampled((z, y, x), spacing_zyx)
    return z, y, x


def resample_to_spacing(
    volume: Volume, spacing_zyx: tuple[float, float, float], interpolation: Interpolation = "linear"
) -> Volume:
    """Resamples a volume to the spacing (z, y, x) in mm nearest to the one asked for that keeps the field of view."""
    return resample_to_shape(volume, shape_for_spacing(volume.geometry, spacing_zyx), interpolation)

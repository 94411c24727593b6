"""Linear resampling of a box of a grid, one axis at a time: the arithmetic alone.

The matrix that resamples an axis has a narrow band: each new voxel draws on its old neighbours. It is cut into blocks
of rows with the columns that they draw on, so that the work grows with the size and not with its square. Slices go
through in chunks that stay in the processor's cache; no floating-point copy of a large image is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple

FloatArray = npt.NDArray[np.float32]

BLOCK = 16
"""Rows of a matrix in one block: smaller blocks are too many products, larger ones hold too many zeros."""

FLOAT_BYTES = 4

CHUNK_BYTES = 1 << 21
"""Bytes of slices, old or new, that go through at once."""

PRODUCT_SIZE = 1 << 18
"""Multiplications in one product of matrices. OpenBLAS does so few in the calling thread; waking the others costs more
than they bring, many times more where something else keeps them busy."""


@lru_cache(maxsize=64)
def linear_weights(size: int, new_size: int) -> FloatArray:
    """Returns the (new_size, size) matrix that resamples one axis, read-only; every row sums to 1.

    The triangle's half-width is the larger of the two voxel sizes. At the borders the edge voxel is repeated.
    """
    ratio = size / new_size
    width = max(ratio, 1.0)
    centre = (np.arange(new_size) + 0.5) * ratio - 0.5
    reach = int(np.ceil(width)) + 1
    offsets = np.arange(-reach, reach + 1)
    nearest = np.rint(centre).astype(int)
    taps = nearest[:, None] + offsets[None, :]
    weight = np.clip(1.0 - np.abs(taps - centre[:, None]) / width, 0.0, None)
    matrix = np.zeros((new_size, size), dtype=np.float64)
    np.add.at(matrix, (np.arange(new_size)[:, None], np.clip(taps, 0, size - 1)), weight)
    matrix /= matrix.sum(axis=1, keepdims=True)
    rounded = matrix.astype(np.float32)
    rounded.flags.writeable = False
    return rounded


def resample_linear(part: npt.NDArray[Any], box: Box, old: Triple, shape: Triple, wanted: Box) -> FloatArray:
    """Resamples a box of a grid of `shape`, in float32: what it is in the whole, but for rounding.

    Args:
        part: values (..., z, y, x) inside `box`.
        box: of a grid of sizes `old` (z, y, x); holds all that `wanted` draws on.
        old: sizes of that grid.
        shape: sizes of the new grid, over the same field of view.
        wanted: box of the new grid that is computed.

    Returns:
        Array (..., *wanted.shape), C-ordered.
    """
    z, y, x = (_Axis.between(old[a], shape[a], box.slices[a], wanted.slices[a]) for a in range(3))
    drawn = part[..., z.drawn, y.drawn, x.drawn]
    made = np.empty((*part.shape[:-3], *wanted.shape), np.float32)
    for index in np.ndindex(part.shape[:-3]):
        _resample_one(drawn[index], z, y, x, made[index])
    return made


@dataclass(frozen=True, eq=False)
class _Block:
    """Neighbouring new voxels of an axis, the old ones that they draw on, and the weights (new, old)."""

    new: slice
    old: slice
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class _Axis:
    """How one axis is resampled.

    Attributes:
        drawn: the old voxels that are drawn on, as they lie in the part that is known.
        weights: (new, drawn).
        copies: whether new and old voxels are the same.
        blocks: the weights in blocks of `BLOCK` rows.
    """

    drawn: slice
    weights: FloatArray
    copies: bool
    blocks: tuple[_Block, ...]

    @classmethod
    def between(cls, size: int, new_size: int, known: slice, wanted: slice) -> _Axis:
        """Returns the way from the known voxels of an axis of `size` to some of `new_size`."""
        weights = linear_weights(size, new_size)[wanted, known]
        columns = _drawn(weights)
        weights = weights[:, columns]
        return cls(columns, weights, size == new_size, tuple(_blocks(weights, BLOCK)))

    @property
    def ratio(self) -> float:
        """New voxels for each old one."""
        new, drawn = self.weights.shape
        return float(new / drawn)

    def blocks_of(self, rows: int) -> Iterator[_Block]:
        """Returns the weights in blocks of at most so many rows."""
        return _blocks(self.weights, rows)


def _blocks(weights: FloatArray, rows: int) -> Iterator[_Block]:
    for start in range(0, len(weights), rows):
        block = weights[start : start + rows]
        columns = _drawn(block)
        yield _Block(slice(start, start + len(block)), columns, block[:, columns])


def _drawn(weights: FloatArray) -> slice:
    """Returns the columns of a matrix from the first to the last that is not 0."""
    columns = np.flatnonzero(weights.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1)


def _resample_one(values: npt.NDArray[Any], z: _Axis, y: _Axis, x: _Axis, made: FloatArray) -> None:
    """Resamples one image (z, y, x) into `made`."""
    if y.ratio * x.ratio < 1:  # slices that shrink are made first
        slices = made if z.copies else np.empty((len(values), *made.shape[1:]), np.float32)
        rows = _slices_at_once(values)
        for start in range(0, len(values), rows):
            _resample_slices(values[start : start + rows], y, x, slices[start : start + rows])
        if not z.copies:
            for block in z.blocks:
                _combine(slices[block.old], block, made[block.new])
        return
    for block in z.blocks_of(_slices_at_once(made)):
        slices = values[block.old]
        if not z.copies:
            combined = np.empty((len(block.weights), *values.shape[1:]), np.float32)
            _combine(slices, block, combined)
            slices = combined
        _resample_slices(slices, y, x, made[block.new])


def _slices_at_once(image: npt.NDArray[Any]) -> int:
    """Returns how many slices of an image (z, y, x) are a chunk."""
    _, height, width = image.shape
    return max(1, int(CHUNK_BYTES // (FLOAT_BYTES * height * width)))


def _combine(slices: npt.NDArray[Any], block: _Block, made: FloatArray) -> None:
    """Makes the new slices of a block out of its old ones."""
    flat = np.ascontiguousarray(slices, np.float32).reshape(len(slices), -1)
    new = made.reshape(len(made), -1)
    for part in _parts(flat.shape[1], block):
        np.matmul(block.weights, flat[:, part], out=new[:, part])


def _parts(length: int, block: _Block) -> Iterator[slice]:
    """Cuts the vectors that a block is multiplied by into so many at once that the product stays small."""
    many = max(1, PRODUCT_SIZE // block.weights.size)
    for start in range(0, length, many):
        yield slice(start, min(start + many, length))


def _resample_slices(slices: npt.NDArray[Any], y: _Axis, x: _Axis, made: FloatArray) -> None:
    """Resamples slices (n, y, x) along their own axes into `made`; the axis that shrinks more goes first."""
    values = np.ascontiguousarray(slices, np.float32)
    if y.copies and x.copies:
        made[...] = values
    elif x.copies:
        _resample_y(values, y, made)
    elif y.copies:
        _resample_x(values, x, made)
    elif y.ratio < x.ratio:
        between = np.empty((len(values), made.shape[1], values.shape[2]), np.float32)
        _resample_y(values, y, between)
        _resample_x(between, x, made)
    else:
        between = np.empty((len(values), values.shape[1], made.shape[2]), np.float32)
        _resample_x(values, x, between)
        _resample_y(between, y, made)


def _resample_y(values: FloatArray, y: _Axis, made: FloatArray) -> None:
    for block in y.blocks:
        for part in _parts(values.shape[2], block):
            np.matmul(block.weights, values[:, block.old, part], out=made[:, block.new, part])


def _resample_x(values: FloatArray, x: _Axis, made: FloatArray) -> None:
    for block in x.blocks:
        for part in _parts(values.shape[1], block):
            np.matmul(values[:, part, block.old], block.weights.T, out=made[:, part, block.new])

"""Writing NIfTI-1 files slab by slab, so that a volume that is 0 outside a box is never made in full.

The header is ITK's own: of a single voxel of the same grid and type, with the sizes put in. Nothing else of it depends
on them, so that the grid is bit for bit what ITK would write.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from ctcore.errors import OutputError
from ctcore.geometry import Inset
from ctcore.inflate import GZIP_MAGIC
from ctcore.itk import to_sitk
from ctcore.nifti import FIRST_VOXEL
from ctcore.volume import Geometry, Volume

COMPRESSION_LEVEL = 2
"""The library's, of 0 to 3: 1 is no faster and takes 4 % more, 3 takes more than ten times as long for empty space."""

GZIP = 31
"""zlib's name for a gzip stream with the largest window; its header has neither a time stamp nor a name."""

SLAB_BYTES = 1 << 20
"""Voxels that are made and compressed at once."""

SIZES_AT = 42
"""Offset of the sizes (x, y, z), three int16, in a NIfTI-1 header."""

LARGEST_SIZE = np.iinfo(np.int16).max


def write_nifti(inset: Inset, path: Path, *, compressed: bool) -> None:
    """Writes a volume; the same volume gives the same bytes.

    Args:
        inset: the volume, or the part of it outside of which it is 0. Its type is written; bool becomes uint8, float16
            float32.
        path: a file ending in `.nii` or `.nii.gz`, overwritten.
        compressed: whether the bytes are to be compressed by gzip.

    Raises:
        OSError, RuntimeError: it cannot be written in full.
        OutputError: it has more voxels along an axis than NIfTI-1 can say.
    """
    if max(inset.geometry.shape) > LARGEST_SIZE:
        raise OutputError(
            f"a volume of {inset.geometry.shape} voxels does not fit NIfTI-1, which has at most {LARGEST_SIZE} along an"
            " axis; write .mha"
        )
    header, dtype = _header(inset, path)
    pieces = itertools.chain((memoryview(header),), (slab.data for slab in slabs(inset, dtype)))
    compressor = isal_zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP) if compressed else None
    with path.open("wb") as handle:
        for piece in pieces:
            handle.write(compressor.compress(piece) if compressor else piece)
        if compressor:
            handle.write(compressor.flush())


def slabs(inset: Inset, dtype: npt.DTypeLike) -> Iterator[npt.NDArray[Any]]:
    """Yields a volume as slabs (n, y, x) of `dtype`, C-ordered, from the first slice to the last."""
    depth, height, width = inset.geometry.shape
    thickness = max(1, SLAB_BYTES // (height * width * np.dtype(dtype).itemsize))
    empty = np.zeros((min(thickness, depth), height, width), dtype)
    (first, stop), rows, columns = zip(inset.box.start, inset.box.stop, strict=True)
    for start in range(0, depth, thickness):
        end = min(start + thickness, depth)
        slab = empty[: end - start]
        begin, finish = max(start, first), min(end, stop)
        if begin < finish:
            slab = slab.copy()
            slab[begin - start : finish - start, slice(*rows), slice(*columns)] = inset.array[
                begin - first : finish - first
            ]
        yield slab


def _header(inset: Inset, path: Path) -> tuple[bytes, np.dtype[Any]]:
    """Returns what comes before the voxels, and their type; the file is left as ITK has written one voxel to it."""
    import SimpleITK as sitk

    grid = inset.geometry
    one = Geometry((1, 1, 1), grid.spacing, grid.origin, grid.direction)
    image = to_sitk(Volume(np.zeros(one.shape, inset.array.dtype), one))
    sitk.WriteImage(image, str(path))
    written = path.read_bytes()
    header = bytearray(isal_zlib.decompress(written, GZIP) if written.startswith(GZIP_MAGIC) else written)
    struct.pack_into("=3h", header, SIZES_AT, *grid.size_xyz)
    return bytes(header[:FIRST_VOXEL]), sitk.GetArrayViewFromImage(image).dtype

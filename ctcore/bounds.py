"""How large a CT may be: judged before anything of that size is made, by what a header says and what a file can hold.

Every bound lies above what scanners make: a legal CT of 1,600 slices of 512 x 512 voxels at 0.5 mm uses a fifth of the
voxels that are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctcore.errors import GeometryError, ImageDimensionError, UnreadableImageError
from ctcore.volume import Geometry

MAX_SIDE = 1 << 14
"""Most voxels along an axis."""

MAX_VOXELS = 1 << 31
"""Most voxels of a volume as stored: 4 GiB of int16."""

MAX_BYTES = 1 << 33
"""Most bytes of its voxels: 8 GiB."""

MAX_EXTENT_MM = 4000.0
"""Longest side of a field of view: twice what the longest table travels."""

MAX_RESAMPLED_VOXELS = 1 << 29
"""Most voxels of a volume as resampled: 2 GiB of float32. PANORAMA's largest ROI has a third of that."""

MAX_DEFLATED = 1032
"""Most bytes that one byte of a DEFLATE stream can become: 258 bytes for two bits (RFC 1951)."""

STREAM_BYTES = 1 << 10
"""What headers and trailers of a compressed stream cannot make up for."""


def check_stored(name: str, size: Sequence[int], voxel_bytes: int, held: int, *, deflated: bool) -> None:
    """Refuses an image whose header says more than a CT has, or more than its file can hold.

    Args:
        name: what messages call it.
        size: voxels along each axis, in any order.
        voxel_bytes: bytes of a voxel, all of its components.
        held: bytes of the file from the first voxel on.
        deflated: whether these are compressed by DEFLATE (gzip, zlib).

    Raises:
        ImageDimensionError: it has too many voxels or bytes.
        UnreadableImageError: the file is too short for them.
    """
    voxels = math.prod(size)
    shape = " x ".join(str(n) for n in size)
    if max(size) > MAX_SIDE or voxels > MAX_VOXELS or voxels * voxel_bytes > MAX_BYTES:
        raise ImageDimensionError(
            f"'{name}' says it has {shape} voxels of {voxel_bytes} bytes; {MAX_SIDE} a side, {MAX_VOXELS} in all and"
            f" {MAX_BYTES >> 30} GiB can be read: correct its header or crop it"
        )
    least = -(-(voxels * voxel_bytes - STREAM_BYTES) // MAX_DEFLATED) if deflated else voxels * voxel_bytes
    if held < least:
        raise UnreadableImageError(
            f"'{name}' cannot be read: {shape} voxels take {voxels * voxel_bytes} bytes, of which {held} bytes"
            f" {'compressed ' if deflated else ''}are there; check or replace it"
        )


def check_extent(geometry: Geometry, name: str) -> None:
    """Refuses a field of view larger than any scanner's: its spacing is wrong.

    Raises:
        GeometryError: a side is longer than `MAX_EXTENT_MM`.
    """
    if max(geometry.extent_mm_zyx) > MAX_EXTENT_MM:
        x, y, z = geometry.spacing
        raise GeometryError(
            f"'{name}' has voxels of {x:g} x {y:g} x {z:g} mm and so a side of {max(geometry.extent_mm_zyx):.0f} mm,"
            f" {MAX_EXTENT_MM:.0f} mm at most are a CT; correct the spacing in its header"
        )


def check_resampled(shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    """Refuses a grid that a volume would be resampled to.

    Args:
        shape: its sizes.
        spacing_mm: the spacing asked for, in the same order.

    Raises:
        GeometryError: it has more than `MAX_RESAMPLED_VOXELS`.
    """
    if math.prod(shape) > MAX_RESAMPLED_VOXELS:
        raise GeometryError(
            f"at {' x '.join(f'{s:g}' for s in spacing_mm)} mm the volume would have {' x '.join(map(str, shape))}"
            f" voxels, {MAX_RESAMPLED_VOXELS} can be computed; check the spacing in its header, or crop it"
        )

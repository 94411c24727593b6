"""What ITK's NIfTI reader does not tell: files that are damaged, and voxels that are not finite.

Where the bytes of a file end early or cannot be decompressed, its library goes on with 0 or with garbage, without an
error; the checksum of a compressed file is not looked at; NaN and infinity become 0 (seen with ITK 5.4). Here the
bytes are therefore read once more, without being turned into an image.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ctcore.errors import UnreadableImageError, first_line
from ctcore.inflate import GZIP_MAGIC, inflated, plain

HEADER_BYTES = 348
"""Length of a NIfTI-1 header, which its first four bytes state in the file's byte order."""

FLOATING_CODES = {16: "f4", 64: "f8"}
"""NIfTI-1 datatype codes of the floating types: DT_FLOAT32, DT_FLOAT64."""


def verify_and_restore(path: Path, array: npt.NDArray[Any]) -> None:
    """Checks a NIfTI-1 file that ITK could read, and puts NaN and infinity back.

    Args:
        path: the `.nii` or `.nii.gz` file.
        array: values (z, y, x) that ITK made of it, C-ordered; changed in place where the file holds NaN or infinity.

    Raises:
        UnreadableImageError: the file ends early, or its compressed bytes are damaged.
    """
    try:
        with path.open("rb") as handle:
            _verify_and_restore(handle, array)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UnreadableImageError(f"'{path.name}' cannot be read: {first_line(error)}; check or replace it") from error


def _verify_and_restore(handle: BinaryIO, array: npt.NDArray[Any]) -> None:
    compressed = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    handle.seek(0)
    blocks = inflated(handle) if compressed else plain(handle)

    head = b""
    while len(head) < HEADER_BYTES:
        block = next(blocks, b"")
        if not block:
            raise EOFError("it ends within its header")
        head += block
    order = "<" if struct.unpack_from("<i", head, 0)[0] == HEADER_BYTES else ">"
    code, bits = struct.unpack_from(f"{order}2h", head, 70)
    (offset,) = struct.unpack_from(f"{order}f", head, 108)
    start = max(int(offset), HEADER_BYTES)
    end = start + array.size * bits // 8

    dtype = np.dtype(order + FLOATING_CODES[code]) if code in FLOATING_CODES else None
    values = array.reshape(-1)
    position, voxel, rest = 0, 0, b""
    for block in itertools.chain((head,), blocks):
        voxels = block[max(start - position, 0) : max(end - position, 0)]
        position += len(block)
        if dtype is None:
            continue
        voxels = rest + voxels
        whole = len(voxels) // dtype.itemsize
        stored = np.frombuffer(voxels, dtype, whole)
        bad = np.flatnonzero(~np.isfinite(stored))
        values[voxel + bad] = stored[bad]
        voxel, rest = voxel + whole, voxels[whole * dtype.itemsize :]
    if position < end:
        raise EOFError(f"it holds {position} of {end} bytes")

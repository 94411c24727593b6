"""The voxels of NIfTI-1 files: read as stored, or, where ITK has to scale them, checked.

Where the bytes of a file end early or cannot be decompressed, ITK's library goes on with 0 or with garbage, without an
error; the checksum of a compressed file is not looked at; NaN and infinity become 0 (seen with ITK 5.4). So the bytes
are read here, once, and become the voxels themselves unless the header asks for more than that; ITK reads the grid.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ctcore.bounds import check_stored
from ctcore.errors import UnreadableImageError, first_line
from ctcore.inflate import DAMAGED, GZIP_MAGIC, SLACK_BYTES, DamagedStreamError, inflated, plain
from ctcore.text_header import StoredVoxels

HEADER_BYTES = 348
"""Length of a NIfTI-1 header, which its first four bytes state in the file's byte order."""

FIRST_VOXEL = 352
"""Offset of the voxels in a single file without header extensions."""

MAX_HEADER_BYTES = 1 << 24
"""Most bytes before the voxels: header extensions hold whole DICOM headers, at times."""

LARGEST_MM = 1e7
"""Largest spacing, position or component of a direction: ten kilometres."""

FLOATING_CODES = {16: "f4", 64: "f8"}
"""NIfTI-1 datatype codes of the floating types: DT_FLOAT32, DT_FLOAT64."""

SCALAR_CODES = {
    2: "u1",
    4: "i2",
    8: "i4",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
    **FLOATING_CODES,
}
"""NIfTI-1 datatype codes of all types with one number a voxel that ITK reads as they are."""

OTHER_BYTES = {32: 8, 128: 3, 1536: 16, 1792: 16, 2048: 32, 2304: 4}
"""Bytes a voxel of the types with several numbers a voxel, or one that NumPy has not, by datatype code."""

MOST_AXES = 7
SINGLE_FILE_MAGIC = b"n+1\0"
"""NIfTI-1 with header and voxels in one file."""


@dataclass(frozen=True)
class _Header:
    """What the header says of the voxels' bytes.

    Attributes:
        order: byte order, `<` or `>`.
        code: datatype.
        size: voxels along each axis (x, y, z, ...).
        start: first byte of the voxels, after decompression.
        plain: whether the voxels are numbers to be taken as they are.
        compressed: whether the file is a gzip stream.
    """

    order: str
    code: int
    size: tuple[int, ...]
    start: int
    plain: bool
    compressed: bool

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel."""
        return np.dtype(SCALAR_CODES[self.code]).itemsize if self.code in SCALAR_CODES else OTHER_BYTES[self.code]


def read_nifti_header(path: Path) -> StoredVoxels:
    """Reads and judges a NIfTI-1 header, and nothing of the voxels.

    Raises:
        UnreadableImageError: it is none of a single file, or the file is too short for what it says.
        ImageDimensionError: it says that it has more voxels than any CT.
    """
    with _faults_of(path), path.open("rb") as handle:
        header, _, _ = _opened(handle)
    start = 0 if header.compressed else header.start
    held = path.stat().st_size - start
    check_stored(path.name, header.size, header.voxel_bytes, held, deflated=header.compressed)
    return StoredVoxels(header.size, header.voxel_bytes, path, start, header.compressed, scaled=not header.plain)


def read_stored(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[Any] | None:
    """Reads the voxels of a NIfTI-1 file, or returns None where they are scaled, of another type, or elsewhere.

    Args:
        path: the `.nii` or `.nii.gz` file, whose header ITK could read.
        shape: (z, y, x) of its grid.

    Raises:
        UnreadableImageError: the file ends early, or its compressed bytes are damaged.
    """
    with _faults_of(path), path.open("rb") as handle:
        header, head, blocks = _opened(handle)
        if not header.plain:
            return None
        dtype = np.dtype(header.order + SCALAR_CODES[header.code])
        array = np.empty(shape, dtype)
        target = array.reshape(-1).view(np.uint8)
        end = header.start + array.nbytes
        position = 0
        for block in itertools.chain((head,), blocks):
            first, last = max(header.start - position, 0), max(end - position, 0)
            voxels = block[first:last] if first or last < len(block) else block
            if voxels:
                at = position + first - header.start
                target[at : at + len(voxels)] = np.frombuffer(voxels, np.uint8)
            position += len(block)
            _refuse_bomb(position, end, header)
        if position < end:
            raise EOFError(f"it holds {position} of {end} bytes")
    return array.astype(dtype.newbyteorder("="), copy=False)


def verify_and_restore(path: Path, array: npt.NDArray[Any]) -> None:
    """Checks a NIfTI-1 file that ITK could read, and puts NaN and infinity back.

    Args:
        path: the `.nii` or `.nii.gz` file.
        array: values (z, y, x) that ITK made of it, C-ordered; changed in place where the file holds NaN or infinity.

    Raises:
        UnreadableImageError: the file ends early, or its compressed bytes are damaged.
    """
    with _faults_of(path), path.open("rb") as handle:
        _verify_and_restore(handle, array)


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Turns what can go wrong with the bytes of a file into one error."""
    try:
        yield
    except (OSError, EOFError, ValueError, DamagedStreamError) as error:
        reason = DAMAGED if isinstance(error, DamagedStreamError) else first_line(error)
        raise UnreadableImageError(f"'{path.name}' cannot be read: {reason}; check or replace it") from error


def _opened(handle: BinaryIO) -> tuple[_Header, bytes, Iterator[bytes]]:
    """Returns the header, the first bytes of the file, and the blocks that follow them."""
    compressed = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    handle.seek(0)
    blocks = inflated(handle) if compressed else plain(handle)
    head = b""
    while len(head) < HEADER_BYTES:
        block = next(blocks, b"")
        if not block:
            raise EOFError("it ends within its header")
        head += block
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", head, 0)[0] == HEADER_BYTES), None)
    if order is None or head[344:HEADER_BYTES] != SINGLE_FILE_MAGIC:
        raise ValueError("it is not a NIfTI-1 file with header and voxels in one")
    axes, *sizes = struct.unpack_from(f"{order}8h", head, 40)
    (code,) = struct.unpack_from(f"{order}h", head, 70)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", head, 108)
    if not 1 <= axes <= MOST_AXES or min(sizes[:axes]) < 0 or min(sizes[: min(axes, 3)]) < 1:
        raise ValueError(f"its header says {axes} axes of {sizes} voxels")
    if code not in SCALAR_CODES and code not in OTHER_BYTES:
        raise ValueError(f"its header says datatype {code}, which NIfTI-1 has not")
    if not 0 <= offset <= MAX_HEADER_BYTES:  # false of NaN, too
        raise ValueError(f"its header says that voxels begin at byte {offset:g}")
    _check_place(head, order)
    size = tuple(max(n, 1) for n in sizes[:axes])
    unscaled = slope == 0 or (slope == 1 and intercept == 0)
    start = max(int(offset), HEADER_BYTES)
    return _Header(order, code, size, start, code in SCALAR_CODES and unscaled, compressed), head, blocks


def _check_place(head: bytes, order: str) -> None:
    """Refuses a grid of numbers that are not finite or beyond any patient: ITK's search for its axes may not end."""
    quaternion, matrix = struct.unpack_from(f"{order}2h", head, 252)
    numbers = struct.unpack_from(f"{order}3f", head, 80)  # spacing
    numbers += struct.unpack_from(f"{order}6f", head, 256) if quaternion > 0 else ()
    numbers += struct.unpack_from(f"{order}12f", head, 280) if matrix > 0 else ()
    strange = next((number for number in numbers if not abs(number) <= LARGEST_MM), None)  # NaN is, too
    if strange is not None:
        raise ValueError(f"its header says {strange:g} mm or direction")


def _refuse_bomb(position: int, end: int, header: _Header) -> None:
    """Stops where a stream holds much more than the voxels: its rest would be inflated for its checksum alone."""
    if header.compressed and position > end + SLACK_BYTES:
        raise ValueError(f"it holds more than the {end} bytes that its header says")


def _verify_and_restore(handle: BinaryIO, array: npt.NDArray[Any]) -> None:
    header, head, blocks = _opened(handle)
    start, end = header.start, header.start + array.size * header.voxel_bytes
    dtype = np.dtype(header.order + FLOATING_CODES[header.code]) if header.code in FLOATING_CODES else None
    values = array.reshape(-1)
    position, voxel, rest = 0, 0, b""
    for block in itertools.chain((head,), blocks):
        voxels = block[max(start - position, 0) : max(end - position, 0)]
        position += len(block)
        _refuse_bomb(position, end, header)
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

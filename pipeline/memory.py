"""How much memory this process has, and what a CT will take of it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import MemoryLimitError, RequestError

if TYPE_CHECKING:
    from ctcore.files import CaseFile

GIB = 1 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": GIB, "T": 1 << 40}

CT_COPIES = 2
"""Of a CT in memory at once, at most: as it is decompressed and as it is read, or that and in LPS order."""
MASK_BYTES = 1
"""Bytes a voxel of what is made of it beside: which voxels are finite, or metal."""
DICOM_BYTES = 8
"""Bytes a voxel of a DICOM series that is read, at most: where its slope is no whole number."""

_STATUS = Path("/proc/self/status")


def parse_size(text: str) -> int:
    """Returns the bytes of a size such as `4G`, `512M` or `3.5 GiB` (powers of 1024).

    Raises:
        RequestError: it is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise RequestError(f"memory '{text}' is not a size; write for instance 4G or 512M")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def gib(size: float) -> str:
    """Returns bytes as text."""
    return f"{size / GIB:.2f} GiB"


def resident() -> int:
    """Returns the bytes of this process that are in memory.

    Raises:
        RequestError: the system does not say.
    """
    return _status("VmRSS")


def peak() -> int:
    """Returns the most bytes of this process that ever were in memory.

    Raises:
        RequestError: the system does not say.
    """
    return _status("VmHWM")


def check_ct(case: CaseFile, limit: int) -> None:
    """Refuses a CT that cannot be read within a limit of this process's memory, by its header alone.

    Raises:
        MemoryLimitError: it cannot.
        UnreadableImageError: it has no header.
    """
    sizes, voxel_bytes = _stored(case)
    needed = resident() + (CT_COPIES * voxel_bytes + MASK_BYTES) * math.prod(sizes)
    if needed > limit:
        shape = " x ".join(str(size) for size in sizes)
        raise MemoryLimitError(
            f"'{case.image}' of {shape} voxels may need {gib(needed)} to be read, --max-ram allows {gib(limit)};"
            " allow more"
        )


def _stored(case: CaseFile) -> tuple[tuple[int, ...], int]:
    """Returns the voxels along each axis (x, y, z, ...) and the bytes of one when it is read, by the header alone."""
    from ctcore.cts import DicomCase

    if isinstance(case, DicomCase):
        return case.series.geometry.size_xyz if case.series.geometry is not None else (0,), DICOM_BYTES
    from ctcore.files import read_header

    header = read_header(case.path)
    return header.size, header.read_voxel_bytes


def _status(key: str) -> int:
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise RequestError("this system does not tell how much memory is used; leave --max-ram out") from error
    match = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    if match is None:
        raise RequestError("this system does not tell how much memory is used; leave --max-ram out")
    return int(match[1]) * 1024

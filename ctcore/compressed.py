"""What ITK's MetaImage and NRRD readers do not tell: compressed voxels that are damaged.

Where compressed bytes cannot be decompressed, or their checksum is wrong, both go on with what they have, without an
error (seen with ITK 5.4). Here the compressed data are therefore read once more, without being turned into an image.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ctcore.errors import UnreadableImageError, first_line
from ctcore.inflate import DAMAGED, DamagedStreamError, inflated

HEADER_LINES = 10_000
"""Lines after which a text header is given up; real ones have some dozens."""


def verify_metaimage(path: Path) -> None:
    """Checks the compressed voxels of a `.mha` or `.mhd` file that ITK could read; others pass.

    Raises:
        UnreadableImageError: they are damaged or end early.
    """
    with path.open("rb") as handle:
        fields: dict[str, str] = {}
        for _ in range(HEADER_LINES):
            key, _, value = handle.readline().decode("latin-1").partition("=")
            fields[key.strip().lower()] = value.strip()
            if key.strip().lower() == "elementdatafile":
                break
        if fields.get("compresseddata", "").lower() in ("true", "t", "1"):
            _verify(handle, path, fields.get("elementdatafile", "LOCAL"))


def verify_nrrd(path: Path) -> None:
    """Checks the compressed voxels of a NRRD file that ITK could read; others pass.

    Raises:
        UnreadableImageError: they are damaged or end early.
    """
    with path.open("rb") as handle:
        fields: dict[str, str] = {}
        for _ in range(HEADER_LINES):
            line = handle.readline().decode("latin-1").strip()
            if not line:
                break
            key, _, value = line.partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip()
        if fields.get("encoding", "").lower() in ("gzip", "gz"):
            _verify(handle, path, fields.get("datafile", "LOCAL"))


def _verify(handle: BinaryIO, path: Path, data_file: str) -> None:
    """Inflates what follows the header (`LOCAL`) or lies in the data file that it names."""
    try:
        if data_file.upper() == "LOCAL":
            _exhaust(handle)
        elif (beside := path.parent / data_file).is_file():  # a list or a pattern names slices, which ITK reads alone
            with beside.open("rb") as data:
                _exhaust(data)
    except (OSError, EOFError, DamagedStreamError) as error:
        reason = DAMAGED if isinstance(error, DamagedStreamError) else first_line(error)
        raise UnreadableImageError(f"'{path.name}' cannot be read: {reason}; check or replace it") from error


def _exhaust(handle: BinaryIO) -> None:
    for _ in inflated(handle, members=False):
        pass

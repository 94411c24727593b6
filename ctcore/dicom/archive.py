"""What lies in a ZIP archive, judged by its directory alone before anything of it is decompressed."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from ctcore.dicom.source import READ_ERRORS, DicomSource
from ctcore.errors import UnreadableImageError, first_line

ZIP_MAGIC = b"PK\x03\x04"

MAX_MEMBERS = 100_000
"""Most files of an archive."""

MAX_ARCHIVE_BYTES = 32 << 30
"""Most bytes of an archive, decompressed."""

MAX_RATIO = 100
"""Most bytes, decompressed, for each byte of the archive; CTs have two to ten."""

FREE_BYTES = 256 << 20
"""What may come out of any archive, whatever its ratio: an empty CT compresses well."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: what LZMA takes to unpack is up to the archive."""

ENCRYPTED = 0x1
"""Bit of a member's flags."""


def members(path: Path) -> list[DicomSource]:
    """Returns the files of a ZIP archive that may be DICOM objects, in the archive's order.

    Archives inside it are not opened.

    Raises:
        UnreadableImageError: it is no archive, is encrypted, names files outside itself, names one twice, or would be
            larger, decompressed, than any study.
    """
    try:
        modified = path.stat().st_mtime_ns
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if not info.filename.endswith("/")]
        packed = path.stat().st_size
    except READ_ERRORS as error:
        raise UnreadableImageError(f"'{path.name}' is not a ZIP archive: {first_line(error)}; copy it again") from error
    _check(path, found, packed)
    return [
        DicomSource(path, info.filename, info.file_size, modified)
        for info in found
        if not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(info.filename).parts)
    ]


def _check(path: Path, found: list[zipfile.ZipInfo], packed: int) -> None:
    """Refuses an archive that no study comes in."""
    if len(found) > MAX_MEMBERS:
        raise UnreadableImageError(f"'{path.name}' holds {len(found)} files, {MAX_MEMBERS} are allowed; split it")
    names: set[str] = set()
    for info in found:
        name = info.filename
        if not name or name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/"):
            raise UnreadableImageError(f"'{path.name}' names '{name[:80]}', outside itself; make the archive again")
        if name in names:
            raise UnreadableImageError(f"'{path.name}' holds '{name[:80]}' twice; make the archive again")
        names.add(name)
        if info.compress_type not in METHODS:
            raise UnreadableImageError(f"'{path.name}' is packed by method {info.compress_type}; extract it")
        if info.flag_bits & ENCRYPTED:
            raise UnreadableImageError(f"'{path.name}' is encrypted; extract it")
    total = sum(info.file_size for info in found)
    if total > MAX_ARCHIVE_BYTES or total > max(FREE_BYTES, MAX_RATIO * packed):
        raise UnreadableImageError(
            f"'{path.name}' of {packed} bytes would be {total} bytes, decompressed: more than any study; extract it"
            " yourself if you trust it"
        )

"""What a file is by its first bytes: said before a reader is asked, which would say only that it cannot read it."""

from __future__ import annotations

import errno
import re
import stat
import struct
from pathlib import Path

from isal import isal_zlib

from ctcore.errors import UnreadableImageError
from ctcore.inflate import DAMAGED, GZIP_MAGIC, ZLIB_OR_GZIP, DamagedStreamError

HEAD_BYTES = 4096
"""How much of a file is looked at; text headers are shorter, with few exceptions."""

NIFTI_HEADER_BYTES = 348
NIFTI_2_HEADER_BYTES = 540
"""Length of a header, which its first four bytes state in the file's byte order. Analyze 7.5 has NIfTI-1's."""

_NIFTI, _METAIMAGE, _NRRD = "NIfTI-1", "MetaImage", "NRRD"
_NIFTI_2, _PAIR, _ANALYZE = "NIfTI-2", "the header of a NIfTI pair", "an Analyze header"
_CONVERTIBLE = (_NIFTI_2, _PAIR, _ANALYZE)
EXPECTED = {".nii": _NIFTI, ".nii.gz": _NIFTI, ".mha": _METAIMAGE, ".mhd": _METAIMAGE, ".nrrd": _NRRD}
"""What a file of each image suffix holds."""

_NAMES = {_NIFTI: "'.nii', or '.nii.gz' where it is compressed", _METAIMAGE: "'.mha'", _NRRD: "'.nrrd'"}

_MAGICS = (
    (b"NRRD000", _NRRD),
    (b"version https://git-lfs", "a pointer of Git LFS to a file that was not downloaded"),
    (b"\0\5\x16\7", "what macOS keeps beside a file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x89HDF", "HDF5 (MINC)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
)
_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_METAIMAGE_LINE = re.compile(rb"\s*(ObjectType|NDims|Comment|ObjectSubType)\s*=")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


def why_not_a_file(path: Path) -> str | None:
    """Returns why a path is no file that can be opened without waiting, or None."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "it is a link that leads back to itself"
        if isinstance(error, FileNotFoundError):
            return "it is a link to a file that is not there" if path.is_symlink() else "it is not there"
        return said_of(error)
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return None if stat.S_ISREG(mode) else "it is a pipe, a socket or a device, not a file"


def is_folder(path: Path) -> bool:
    """Tells whether a path is a folder, also where it may not be looked at: then it is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def said_of(error: OSError) -> str:
    """Returns what the system says of a file, without its path, whose folders may name patients."""
    return (error.strerror or type(error).__name__).lower()


def head_of(path: Path) -> bytes:
    """Returns the first bytes of a file, decompressed where it is a gzip stream.

    Raises:
        UnreadableImageError: it is no file, may not be opened, or its compressed bytes are damaged from the start.
    """
    reason = why_not_a_file(path)
    if reason is not None:
        raise UnreadableImageError(f"'{path.name}' cannot be read: {reason}; check or replace it")
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise UnreadableImageError(
            f"'{path.name}' cannot be read: {said_of(error)}; change its permissions, or copy it again"
        ) from error
    if not head.startswith(GZIP_MAGIC):
        return head
    stream = isal_zlib.decompressobj(ZLIB_OR_GZIP)
    try:
        inflated = stream.decompress(head, HEAD_BYTES)
    except DamagedStreamError as error:
        raise UnreadableImageError(f"'{path.name}' cannot be read: {DAMAGED}; check or replace it") from error
    if len(head) < HEAD_BYTES and len(inflated) < NIFTI_HEADER_BYTES and not stream.eof:
        raise UnreadableImageError(f"'{path.name}' cannot be read: its compressed data ends early; check or replace it")
    return inflated


def check_content(path: Path, suffix: str, head: bytes) -> None:
    """Refuses a file that holds something else than its name claims.

    Args:
        path: the file.
        suffix: the image suffix of its name.
        head: its first bytes, decompressed.

    Raises:
        UnreadableImageError: it does.
    """
    found, expected = kind_of(head), EXPECTED[suffix]
    if found == expected and suffix == ".nii":
        with path.open("rb") as handle:
            if handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC:  # which ITK looks for behind '.gz' alone
                raise UnreadableImageError(f"'{path.name}' cannot be read: it is compressed; name it '.nii.gz'")
    if found == expected:
        return
    if not head:
        raise UnreadableImageError(f"'{path.name}' cannot be read: it is empty; check or replace it")
    if found is None and _begins_like_nifti(head) and expected == _NIFTI:
        raise UnreadableImageError(f"'{path.name}' cannot be read: it ends within its header; check or replace it")
    advice = f"name it {_NAMES[found]}" if found in _NAMES else "check or replace it"
    if found in _CONVERTIBLE:
        advice = "convert it to NIfTI-1"
    raise UnreadableImageError(
        f"'{path.name}' cannot be read: it holds {found or 'something unknown'}, not {expected}; {advice}"
    )


def kind_of(head: bytes) -> str | None:
    """Returns what a file holds, in words, by its first bytes; None where they say nothing.

    Args:
        head: `HEAD_BYTES` of it, or all where there are fewer.
    """
    of_nifti = len(head) >= NIFTI_HEADER_BYTES and _begins_like_nifti(head)
    kinds = (
        *((head.startswith(magic), kind) for magic, kind in _MAGICS),
        (head[128:132] == b"DICM", "DICOM"),
        (head[:4] in _lengths(NIFTI_2_HEADER_BYTES), _NIFTI_2),
        (of_nifti, {b"n+1\0": _NIFTI, b"ni1\0": _PAIR}.get(head[344:348], _ANALYZE)),
        (_METAIMAGE_LINE.match(head), _METAIMAGE),
        (_PAGE.match(head), "a web page"),
        (head and not head.strip(b"\0"), "zeros alone"),
        (_TEXT.fullmatch(head), "text"),
    )
    return next((kind for is_so, kind in kinds if is_so), None)


def _lengths(size: int) -> tuple[bytes, bytes]:
    return struct.pack("<i", size), struct.pack(">i", size)


def _begins_like_nifti(head: bytes) -> bool:
    return head[:4] in _lengths(NIFTI_HEADER_BYTES)

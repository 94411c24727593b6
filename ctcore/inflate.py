"""Decompressing a file block by block, with its checksum verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

from isal import isal_zlib

DamagedStreamError = cast(type[Exception], isal_zlib.error)  # its stub types the class as an instance
"""Compressed bytes cannot be decompressed, or their checksum is wrong."""

BLOCK_BYTES = 1 << 18
INFLATED_BYTES = 1 << 20
"""Largest piece that is yielded: a block of zeros would otherwise inflate to a thousand times its size at once."""
DAMAGED = "its compressed data is damaged"
"""What is said of it: the library speaks of codes."""

SLACK_BYTES = 1 << 20
"""What a stream may hold beyond an image's voxels before it is refused, lest a bomb be inflated to its end."""
GZIP_MAGIC = b"\x1f\x8b"
ZLIB_OR_GZIP = 47
"""The library's name for a stream of either kind and the largest window; its checksum is then verified."""


def plain(handle: BinaryIO) -> Iterator[bytes]:
    """Yields the bytes of a file from where it stands."""
    while block := handle.read(BLOCK_BYTES):
        yield block


def inflated(handle: BinaryIO, *, members: bool = True) -> Iterator[bytes]:
    """Yields the decompressed bytes of zlib or gzip streams, none of them empty.

    Args:
        handle: a file that stands where the first stream begins.
        members: whether streams may follow one another, as in a gzip file; otherwise what follows the first is ignored.

    Raises:
        EOFError: the file ends within a stream.
        DamagedStreamError: a stream is damaged.
    """
    member = isal_zlib.decompressobj(ZLIB_OR_GZIP)
    for block in plain(handle):
        rest, made = block, b""
        while rest or len(made) == INFLATED_BYTES:  # after a full piece there may be more to come of the same bytes
            if member.eof:
                if not members:
                    return
                rest = rest.lstrip(b"\0")  # padding between and after members is allowed
                if not rest:
                    break
                if not GZIP_MAGIC.startswith(rest[:2]):  # what is no member follows the last: gzip ignores it, too
                    return
                member = isal_zlib.decompressobj(ZLIB_OR_GZIP)
            if made := member.decompress(rest, INFLATED_BYTES):
                yield made
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise EOFError("its compressed data ends early")

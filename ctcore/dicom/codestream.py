"""The size that a compressed slice says it has: decoders make what it says, so it is checked before they see it."""

from __future__ import annotations

JPEG_2000 = b"\xff\x4f\xff\x51"
"""How a JPEG 2000 codestream begins: SOC and SIZ (ISO/IEC 15444-1, annex A)."""

JPEG = b"\xff\xd8"
"""How JPEG, lossless JPEG and JPEG-LS begin: SOI (ISO/IEC 10918-1, annex B; 14495-1, annex C)."""

JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the markers that begin a frame header; the three left out are tables."""

START_OF_SCAN = 0xDA


def coded_size(stream: bytes) -> tuple[int, int] | None:
    """Returns the (rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream says it has; None where it says none.

    Args:
        stream: one slice, compressed.
    """
    at = stream.find(JPEG_2000)
    if at >= 0 and not stream.startswith(JPEG):
        return _siz_size(stream[at:])
    return _frame_size(stream) if stream.startswith(JPEG) else None


def _siz_size(stream: bytes) -> tuple[int, int] | None:
    """Returns the extent of the reference grid that SIZ tells, its offset included, of which the image is a part."""
    if len(stream) < 16:
        return None
    return int.from_bytes(stream[12:16]), int.from_bytes(stream[8:12])


def _frame_size(stream: bytes) -> tuple[int, int] | None:
    """Returns the size that the first frame header tells."""
    at = 2
    while at + 9 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        if marker in JPEG_FRAMES:
            return int.from_bytes(stream[at + 5 : at + 7]), int.from_bytes(stream[at + 7 : at + 9])
        if marker == START_OF_SCAN:
            return None
        at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    return None

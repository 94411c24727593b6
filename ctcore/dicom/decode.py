"""Stored values of a compressed slice, by decoders that refuse damaged streams (GDCM ends the process at some)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
DECODED = frozenset({JPEG_EXTENDED, *JPEG_LOSSLESS, *JPEG_LS, *JPEG_2000})
"""Transfer syntaxes that are decoded here."""


def decode(stream: bytes, syntax: str, *, bits: int, signed: bool) -> npt.NDArray[np.int32]:
    """Returns the stored values (row, column) of a slice.

    Args:
        stream: one slice, compressed.
        syntax: one of `DECODED`.
        bits: of a stored value.
        signed: whether stored values are two's complement.

    Raises:
        Exception: whatever the decoders find wrong with it.
    """
    import imagecodecs

    values: npt.NDArray[Any]
    if syntax in JPEG_2000:
        values = imagecodecs.jpeg2k_decode(stream)
    elif syntax in JPEG_LS:
        values = imagecodecs.jpegls_decode(stream)
    elif syntax in JPEG_LOSSLESS:
        values = imagecodecs.ljpeg_decode(stream)
    else:
        values = imagecodecs.jpeg8_decode(stream)
    stored: npt.NDArray[np.int32] = values.astype(np.int32) & ((1 << bits) - 1)
    if signed:
        stored -= (stored >> (bits - 1)) << bits
    return stored

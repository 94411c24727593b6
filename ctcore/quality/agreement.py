"""How far two answers to one question lie apart, and how far a mask lies from the border of its box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box


def dice(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float | None:
    """Returns Dice's coefficient of two masks, 0 to 1; None where both are empty."""
    a, b = first != 0, second != 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else None


def spread(values: Sequence[float]) -> float | None:
    """Returns the largest less the smallest of several values; None of fewer than two."""
    return max(values) - min(values) if len(values) > 1 else None


def to_border_mm(inside: Box, border: Box, spacing_zyx: tuple[float, float, float], faces: Sequence[bool]) -> float:
    """Returns the shortest way from a box to a face of another one around it, in mm; 0 where it touches.

    Args:
        inside: the inner box.
        border: the outer box.
        spacing_zyx: of the voxels that both count.
        faces: which faces of the outer box count: those of its start (z, y, x), then of its stop; infinity without any.
    """
    ways = [
        *((a - b) * mm for a, b, mm in zip(inside.start, border.start, spacing_zyx, strict=True)),
        *((b - a) * mm for a, b, mm in zip(inside.stop, border.stop, spacing_zyx, strict=True)),
    ]
    return min((way for way, counts in zip(ways, faces, strict=True) if counts), default=float("inf"))

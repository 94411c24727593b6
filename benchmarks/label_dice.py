"""The Dice of two label maps."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt


def foreground_dice(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Returns the Dice of two label maps over all labels but background: voxels of the same label count as common."""
    sizes = int((first > 0).sum()) + int((second > 0).sum())
    common = int(((first == second) & (first > 0)).sum())
    return 2 * common / sizes if sizes else 1.0

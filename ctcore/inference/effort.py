"""How much is computed of a case: networks, mirrored images, windows."""

from __future__ import annotations

from dataclasses import dataclass

from ctcore.inference.cover import WindowMode

SLAB_VOXELS = 1 << 19
"""Voxels of the CT's grid that are resampled and turned into probabilities at once, unless less is asked for: few
enough for the processor's cache."""


@dataclass(frozen=True)
class Effort:
    """A choice of what is computed.

    Attributes:
        folds: how many of the networks are averaged, from the first on.
        tta: whether predictions are averaged over mirrored images.
        windows: how windows are placed; `guided` needs a mask, and is `exact` where that is empty.
        slab_voxels: how many voxels of the CT's grid are computed at once: less takes less memory, and changes nothing.
    """

    folds: int
    tta: bool
    windows: WindowMode
    slab_voxels: int = SLAB_VOXELS

"""How much is computed of a case: networks, mirrored images, windows."""

from __future__ import annotations

from dataclasses import dataclass

from ctcore.inference.cover import WindowMode


@dataclass(frozen=True)
class Effort:
    """A choice of what is computed.

    Attributes:
        folds: how many of the networks are averaged, from the first on.
        tta: whether predictions are averaged over mirrored images.
        windows: how windows are placed; `guided` needs a mask, and is `exact` where that is empty.
    """

    folds: int
    tta: bool
    windows: WindowMode

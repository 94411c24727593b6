"""The weighted mean of windows' logits, accumulated in place on the box that the windows cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box
from ctcore.inference.cover import hull
from ctcore.inference.windows import gaussian_weight

FloatArray = npt.NDArray[np.float32]

BACKGROUND = 0
"""Label of what no window covers."""

UNCOVERED_LOGIT = -1e4
"""Logit of every other label there, against 0 of the background: their softmax is 0 in float32, also where resampling
mixes such a voxel with others, of however small a share."""


class Blend:
    """The sum of weighted logits of one network or of several on the same windows.

    Args:
        windows: every window of a network.

    Attributes:
        box: the windows' hull; nothing is kept of what lies outside.
    """

    def __init__(self, windows: Sequence[Box]) -> None:
        self.box = hull(windows)
        self._windows = windows
        self._window_weight = gaussian_weight(windows[0].shape)
        self._sums: FloatArray | None = None

    def add(self, logits: FloatArray, window: Box) -> None:
        """Adds the logits (k, z, y, x) of a window; they are overwritten.

        Raises:
            ValueError: they are not of the window's shape, or of other labels than those before.
        """
        if self._sums is None:
            self._sums = np.zeros((logits.shape[0], *self.box.shape), np.float32)
        if logits.shape != (self._sums.shape[0], *window.shape):
            raise ValueError(
                f"a network gave segmentation logits of {logits.shape} for a window of {window.shape}; "
                f"{(self._sums.shape[0], *window.shape)} was expected"
            )
        logits *= self._window_weight
        self._sums[(slice(None), *self._inside(window))] += logits

    def add_blend(self, other: Blend) -> None:
        """Adds what another blend of the same windows holds, which stays as it is."""
        if other._sums is None:
            raise ValueError("no window was blended")
        if self._sums is None:
            self._sums = other._sums.copy()
        else:
            self._sums += other._sums

    def mean(self, networks: int, *, last: bool) -> FloatArray:
        """Returns the mean logits (k, z, y, x) on the box.

        Where the box holds voxels that no window covers, they are background: logit 0, and `UNCOVERED_LOGIT` for the
        other labels.

        Args:
            networks: how many networks were added, each with all windows.
            last: whether the sums may become the mean, in place; nothing can be added afterwards.
        """
        if self._sums is None:
            raise ValueError("no window was blended")
        weights = np.zeros(self.box.shape, np.float32)
        for window in self._windows:
            weights[self._inside(window)] += self._window_weight
        weights *= networks
        uncovered = weights == 0
        some = bool(uncovered.any())
        if some:
            weights[uncovered] = 1
        mean = np.divide(self._sums, weights, out=self._sums if last else None)
        if some:
            for label, logits in enumerate(mean):
                logits[uncovered] = 0 if label == BACKGROUND else UNCOVERED_LOGIT
        if last:
            self._sums = None
        return mean

    def _inside(self, window: Box) -> tuple[slice, slice, slice]:
        """Returns a window as an index of the box's arrays."""
        z, y, x = (slice(a - o, b - o) for a, b, o in zip(window.start, window.stop, self.box.start, strict=True))
        return z, y, x

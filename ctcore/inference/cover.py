"""Windows that an organ guides: as few as cover a mask and what lies near it, instead of the whole image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box, Triple
from ctcore.inference.windows import Padding, place_windows

WindowMode = Literal["guided", "exact"]
"""How windows are placed: where a mask guides them, or on nnU-Net's grid over the whole image."""

GUIDE_MARGIN_MM = 10.0
"""How far from the mask, along every axis, windows cover everything."""

LEAST_OVERLAP = 0.25
"""Least overlap of neighbouring windows, as a share of their length."""


@dataclass(frozen=True, eq=False)
class Guide:
    """What windows must cover.

    Attributes:
        mask: bool (z, y, x) on the image's grid.
        margin: voxels (z, y, x) on each side of the mask's voxels that are covered too.
    """

    mask: npt.NDArray[np.bool_]
    margin: Triple

    @classmethod
    def around(
        cls, mask: npt.NDArray[Any], spacing_zyx: tuple[float, float, float], margin_mm: float = GUIDE_MARGIN_MM
    ) -> Guide:
        """Returns the guide of a mask (z, y, x) and a margin in mm, which is rounded up to whole voxels.

        Args:
            mask: non-zero inside.
            spacing_zyx: voxel spacing (z, y, x) in mm.
            margin_mm: margin along every axis; it makes a cuboid of each voxel, which holds the ball of that radius.
        """
        z, y, x = (math.ceil(margin_mm / spacing) for spacing in spacing_zyx)
        return cls(np.asarray(mask != 0), (z, y, x))

    def padded(self, padding: Padding) -> Guide:
        """Returns the guide for the padded image."""
        return Guide(padding.apply(self.mask, fill=False), self.margin)


def guided_windows(guide: Guide, patch_size: Triple, step: float = 0.5) -> list[Box]:
    """Returns windows that cover every voxel within the guide's margin of its mask, in the image.

    The exact grid of `place_windows` is returned instead where the mask is empty, and where it has no more windows.
    No other placement is claimed to be impossible with fewer: the best of the six orders of axes is taken.

    Along the first axis of an order, the extent of mask and margin is covered by windows that overlap by
    `LEAST_OVERLAP`; along the second, the same is done for each of these, with what of the mask and margin lies inside
    it; along the third, for each of those. Every voxel of mask and margin lies in a window of the first axis, in one
    of the second inside it, and in one of the third inside that: in a window.

    Args:
        guide: mask and margin on a grid that is nowhere smaller than a window (see `Padding`).
        patch_size: length (z, y, x) of a window.
        step: greatest distance between windows of the exact grid, as a fraction of the window.

    Raises:
        ValueError: as `place_windows`.
    """
    depth, height, width = guide.mask.shape
    exact = place_windows((depth, height, width), patch_size, step)
    tight = Box.of_mask(guide.mask)
    if tight is None:
        return exact
    cover = _Cover(guide, tight, patch_size)
    orders = [cover.windows({}, order) for order in itertools.permutations(range(3))]
    return min([exact, *orders], key=len)


def hull(windows: Sequence[Box]) -> Box:
    """Returns the smallest box around windows."""
    starts, stops = np.array([w.start for w in windows]).min(axis=0), np.array([w.stop for w in windows]).max(axis=0)
    return Box((int(starts[0]), int(starts[1]), int(starts[2])), (int(stops[0]), int(stops[1]), int(stops[2])))


def cover_interval(start: int, stop: int, length: int, window: int) -> list[int]:
    """Returns the first index of each of the fewest windows that cover an interval with the least overlap.

    One window lies in the middle of the interval, several from its start to its end; neighbours overlap by at least
    `LEAST_OVERLAP` of a window (by less than a window, where that would be the whole of it).

    Args:
        start: first index inside the interval.
        stop: first index behind it.
        length: of the axis; windows do not leave it.
        window: length of a window, at most that of the axis.
    """
    extent = stop - start
    if extent <= window:
        return [min(max(start - (window - extent) // 2, 0), length - window)]
    distance = window - min(math.ceil(LEAST_OVERLAP * window), window - 1)
    gaps = math.ceil((extent - window) / distance)
    return [start + (i * (extent - window)) // gaps for i in range(gaps + 1)]  # in whole numbers: never farther apart


class _Cover:
    """The search for windows around a guide's mask.

    Args:
        guide: mask and margin.
        tight: the mask's box; nothing outside it is looked at.
        patch_size: length (z, y, x) of a window.
    """

    def __init__(self, guide: Guide, tight: Box, patch_size: Triple) -> None:
        self._mask, self._offset = guide.mask[tight.slices], tight.start
        self._margin, self._shape, self._patch = guide.margin, guide.mask.shape, patch_size

    def windows(self, starts: dict[int, int], order: tuple[int, ...]) -> list[Box]:
        """Returns the windows that begin at `starts` (by axis) and cover what lies inside along the axes to come."""
        if not order:
            a, b, c = (starts[axis] for axis in range(3))
            depth, height, width = self._patch
            return [Box((a, b, c), (a + depth, b + height, c + width))]
        axis, later = order[0], order[1:]
        extent = self._extent(starts, axis)
        if extent is None:
            return []
        placed = cover_interval(*extent, self._shape[axis], self._patch[axis])
        return [window for start in placed for window in self.windows({**starts, axis: start}, later)]

    def _extent(self, starts: dict[int, int], axis: int) -> tuple[int, int] | None:
        """Returns where mask and margin begin and end along an axis, inside windows that begin at `starts`.

        The margin makes a cuboid of each voxel: what of it lies inside a range comes from voxels at most a margin
        outside that range.
        """
        inside = [slice(None)] * 3
        for other, start in starts.items():
            first = start - self._margin[other] - self._offset[other]
            inside[other] = slice(max(first, 0), max(first + self._patch[other] + 2 * self._margin[other], 0))
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(self._mask[tuple(inside)].any(axis=others))
        if hit.size == 0:
            return None
        low, high = int(hit[0]) + self._offset[axis], int(hit[-1]) + 1 + self._offset[axis]
        return max(low - self._margin[axis], 0), min(high + self._margin[axis], self._shape[axis])

"""Ways through the inside of a mask: how far apart its voxels are, and the way that keeps to the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box

Spacing = tuple[float, float, float]
Index = tuple[int, int, int]

MIDDLE_POWER = 3
"""How much dearer a way is near the surface: by this power of the largest distance to it over the way's own."""
COARSE_MM = 1.5
"""Side of the voxels on which ways through wide things are looked for."""
NEIGHBOURS = np.ones((3, 3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Inside:
    """The inside of one connected piece (26 neighbours) of a mask, on the smallest grid around it.

    Attributes:
        mask: (z, y, x) bool, with a free border of one voxel.
        depth: (z, y, x) mm to the nearest voxel outside, 0 outside.
        origin: (3,) (z, y, x) mm of its first voxel on the grid it was cut from; negative for the free border.
        spacing: (z, y, x) mm.
    """

    mask: npt.NDArray[np.bool_]
    depth: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    spacing: Spacing

    @classmethod
    def of(cls, mask: npt.NDArray[Any], spacing: Spacing) -> Inside | None:
        """Returns the inside of the largest piece of a mask (z, y, x), or None where it is empty."""
        return max(pieces(mask, spacing), key=lambda piece: int(np.count_nonzero(piece.mask)), default=None)

    @property
    def voxels(self) -> npt.NDArray[np.intp]:
        """(n, 3) indices (z, y, x) of the voxels inside."""
        return np.argwhere(self.mask)

    def millimetres(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns (n, 3) mm on the grid it was cut from for indices (n, 3) of this one."""
        return np.asarray(indices, np.float64) * self.spacing + self.origin

    def farthest_along(self, direction: tuple[float, float, float]) -> Index:
        """Returns the voxel that is farthest along a direction (z, y, x)."""
        voxels = self.voxels
        return index_of(voxels[np.argmax(voxels * np.asarray(self.spacing) @ np.asarray(direction))])

    def ends(self) -> tuple[Index, Index]:
        """Returns the two voxels that are, about, the farthest apart along ways inside."""
        deepest = index_of(np.unravel_index(int(np.argmax(self.depth)), self.mask.shape))
        first = self._farthest_from(deepest)
        return first, self._farthest_from(first)

    def middle_ways(self, source: Index) -> MiddleWays:
        """Returns the ways from a voxel to all others that keep to the middle."""
        costs = np.full(self.mask.shape, np.inf)
        costs[self.mask] = (self.depth.max() / self.depth[self.mask]) ** MIDDLE_POWER
        return MiddleWays.of(costs, source, self.spacing)

    def _farthest_from(self, source: Index) -> Index:
        lengths = MiddleWays.of(np.where(self.mask, 1.0, np.inf), source, self.spacing).costs
        lengths[~self.mask] = -1.0
        return index_of(np.unravel_index(int(np.argmax(lengths)), lengths.shape))


@dataclass(frozen=True, eq=False)
class MiddleWays:
    """Cheapest ways from one voxel to all others.

    Attributes:
        costs: (z, y, x) what the way to a voxel costs; infinite outside.
    """

    costs: npt.NDArray[np.float64]
    _ways: Any

    @classmethod
    def of(cls, costs: npt.NDArray[np.float64], source: Index, spacing: Spacing) -> MiddleWays:
        """Finds the ways through voxels (z, y, x) that cost so much a millimetre."""
        from skimage.graph import MCP_Geometric

        ways = MCP_Geometric(costs, fully_connected=True, sampling=spacing)
        return cls(np.asarray(ways.find_costs([source])[0], np.float64), ways)

    def to(self, target: Index) -> npt.NDArray[np.intp]:
        """Returns the voxels (n, 3) of the way, the source first."""
        return np.asarray(self._ways.traceback(target), np.intp)


def pieces(mask: npt.NDArray[Any], spacing: Spacing, least_mm: float = 0.0) -> list[Inside]:
    """Returns the connected pieces of a mask (z, y, x) whose box is at least so long along an axis."""
    from scipy import ndimage

    box = Box.of_mask(mask)
    if box is None:
        return []
    labels, _ = ndimage.label(mask[box.slices] != 0, structure=NEIGHBOURS)
    found = []
    for number, part in enumerate(ndimage.find_objects(labels), start=1):
        if max((s.stop - s.start) * mm for s, mm in zip(part, spacing, strict=True)) < least_mm:
            continue
        piece = np.pad(labels[part] == number, 1)
        depth = np.asarray(ndimage.distance_transform_edt(piece, sampling=spacing), np.float64)
        first = np.array([a + s.start - 1 for a, s in zip(box.start, part, strict=True)])
        found.append(Inside(piece, depth, first * np.asarray(spacing), spacing))
    return found


def coarse(mask: npt.NDArray[Any], spacing: Spacing) -> tuple[npt.NDArray[Any], Spacing]:
    """Returns every so many voxels of a mask that they are about `COARSE_MM` apart, and their spacing.

    The course of a vessel or of the gland does not need finer ones, and ways cost time by the voxel.
    """
    z, y, x = (max(1, round(COARSE_MM / side)) for side in spacing)
    return mask[::z, ::y, ::x], (spacing[0] * z, spacing[1] * y, spacing[2] * x)


def index_of(values: npt.ArrayLike | tuple[Any, ...]) -> Index:
    """Returns three whole numbers as an index."""
    z, y, x = (int(value) for value in np.asarray(values))
    return z, y, x

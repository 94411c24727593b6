"""Calls report-guided-annotation on the smallest sub-volumes that give the answer of the whole volume.

The package visits the whole volume once per connected component and threshold. All its modes come down to one step:
the 26-connected components of the voxels that pass a threshold, each with its confidence if it has more than
`min_voxels` voxels. A confidence is the maximum, or the mean in float64, of the component's voxels in scan order. A box
keeps the scan order, so the package gives the same answer, to the last bit, when it is asked for one component on its
own box, with 0 around it.

`dynamic-fast` takes that step once, with threshold M / factor (M the highest probability), a fixed threshold likewise;
their confidences stay float64. Thresholds are compared in the volume's own type: a fixed 0.1 is float32's 0.1.

The other modes repeat the step with M the highest probability left. The confidences go through a float32 map there, so
that they are rounded, and components whose means differ by less tie. They take the component of highest confidence
(the first in scan order among equals), and remove it, a candidate or not. The repetition is done here, because M is all
that couples distant parts of a volume:

* M ends the search below `STOPPING_PROBABILITY`, and with M below `lowest` nothing that is found can reach `lowest`:
  no confidence, maximum or rounded mean, exceeds its component's highest probability. Hence no threshold that matters
  is below max(both) / factor, and no voxel below that floor is ever part of a component, nor touched, nor M.
* The volume therefore falls into islands, the components of the voxels at or above the floor. Every later component
  lies within one island, and components of different islands never touch: each island is worked on in its own box.
* An island whose highest probability is below the best confidence so far cannot hold a better component, nor can a
  component within it.
* An island of at most `min_voxels` voxels never yields a candidate. Only its values matter, as possible M: those are
  kept as a sorted list.
* Where only components of at most `min_voxels` voxels pass, version 2 removes the voxels above the threshold; version 1
  answers one candidate of confidence 0 that covers the volume, which is not passed on, and has then removed everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.detection.components import NEIGHBOURS, Aggregation, Blob, Index, components, passing
from ctcore.geometry import Box

STOPPING_PROBABILITY = 0.01
"""The `dynamic` modes stop when the highest remaining probability is below this (the package's constant)."""

_ROUNDING_MARGIN = 1.0 - 1e-6
"""Lowers a bound computed in float64 by more than a float32 rounding, so that it stays a bound."""


@dataclass(frozen=True)
class DynamicSearch:
    """How the modes that lower the threshold from candidate to candidate search.

    Attributes:
        factor: the threshold is the highest probability left divided by this, above 1.
        min_voxels: components of this many voxels or fewer are left out.
        num_lesions: the search ends with this many.
        lowest: the search may end when no component of this confidence can be found any more.
        aggregation: what a confidence is.
        remove_small: whether components of at most `min_voxels` are removed when only such pass the threshold
            (version 2), or end the search (version 1).
        remove_adjacent: whether a component that touches a candidate taken before is removed without becoming one.
    """

    factor: float
    min_voxels: int
    num_lesions: int
    lowest: float
    aggregation: Aggregation
    remove_small: bool
    remove_adjacent: bool


def static_blobs(
    probability: npt.NDArray[np.float32], threshold: np.float32, min_voxels: int, aggregation: Aggregation
) -> list[Blob]:
    """Returns the components at or above one threshold, in scan order.

    Args:
        probability: (z, y, x), 0..1.
        threshold: at 0, the components of the voxels above 0.
        min_voxels: components of this many voxels or fewer are left out.
        aggregation: what a confidence is.
    """
    box = Box.of_mask(passing(probability, threshold))
    if box is None:
        return []
    blobs = []
    for component in components(probability[box.slices], threshold, min_voxels):
        confidence = component.confidence(threshold, min_voxels, aggregation)
        if confidence is not None:
            blobs.append(Blob(float(confidence), component.start, component.values > 0).moved(box.start))
    return blobs


def dynamic_blobs(probability: npt.NDArray[np.float32], search: DynamicSearch) -> list[Blob]:
    """Returns the components that the modes with a falling threshold take, in the order in which they take them.

    Args:
        probability: (z, y, x), 0..1.
        search: the mode and its parameters.
    """
    floor = np.float32(max(STOPPING_PROBABILITY, search.lowest) / search.factor * _ROUNDING_MARGIN)
    islands, specks = _split(probability, floor, search.min_voxels)
    taken: list[Blob] = []
    while len(taken) < search.num_lesions:
        islands.sort(key=lambda island: -island.peak)
        highest = max([island.peak for island in islands[:1]] + [*specks[-1:]], default=np.float32(0))
        if highest < STOPPING_PROBABILITY or float(highest) < search.lowest:
            break
        threshold = np.float32(highest / search.factor)

        best, best_island = None, None
        for island in islands:
            if island.peak < threshold or (best is not None and island.peak < best.confidence):
                break  # neither this island nor those behind it, whose peaks are lower, can do better
            found = island.better(best, threshold, search)
            if found is not None:
                best, best_island = found, island

        if best is None or best_island is None:
            if not search.remove_small:
                break
            for island in islands:
                island.remove_above(threshold)
            specks = specks[: np.searchsorted(specks, threshold, side="right")]
            continue
        touches = best_island.remove(best)
        if not (search.remove_adjacent and touches):
            best_island.take(best)
            taken.append(best)
    return taken


class _Island:
    """A component of the voxels at or above the floor, while blobs are taken out of it.

    Attributes:
        start: first index (z, y, x) of its box in the volume.
        left: (z, y, x) probabilities not yet removed; 0 outside the island.
        taken: (z, y, x) voxels of the candidates taken from it; None before the first.
        peak: maximum of `left`.
    """

    def __init__(self, start: Index, left: npt.NDArray[np.float32]) -> None:
        self.start = start
        self.left = left
        self.taken: npt.NDArray[np.bool_] | None = None
        self.peak: np.float32 = left.max()

    def better(self, best: Blob | None, threshold: np.float32, search: DynamicSearch) -> Blob | None:
        """Returns the island's component that the package takes before `best` and all its others, if there is one."""
        improved = None
        candidates = components(self.left, threshold, search.min_voxels)
        for component in sorted(candidates, key=lambda component: -component.peak):
            if best is not None and component.peak < best.confidence:
                break
            confidence = component.confidence(threshold, search.min_voxels, search.aggregation)
            if confidence is None:
                continue
            rounded = float(np.float32(confidence))
            blob = Blob(rounded, component.start, component.values > 0).moved(self.start)
            if best is None or _comes_before(blob, best):
                best = improved = blob
        return improved

    def remove(self, blob: Blob) -> bool:
        """Removes a blob; returns whether it touches a candidate taken before."""
        from scipy import ndimage

        z, y, x = self._place(blob)
        self.left[z, y, x][blob.mask] = 0
        self.peak = self.left.max()
        if self.taken is None:
            return False
        around = Box((z.start, y.start, x.start), (z.stop, y.stop, x.stop)).expand((1, 1, 1)).clip(self.left.shape)
        grown = ndimage.binary_dilation(self.taken[around.slices], structure=NEIGHBOURS)
        start = tuple(a.start - b for a, b in zip((z, y, x), around.start, strict=True))
        inside = tuple(slice(a, a + n) for a, n in zip(start, blob.mask.shape, strict=True))
        return bool((grown[inside] & blob.mask).any())

    def take(self, blob: Blob) -> None:
        """Remembers where a candidate lies."""
        if self.taken is None:
            self.taken = np.zeros(self.left.shape, dtype=bool)
        self.taken[self._place(blob)] |= blob.mask

    def remove_above(self, threshold: np.float32) -> None:
        """Removes every voxel above a threshold."""
        if self.peak > threshold:
            self.left[self.left > threshold] = 0
            self.peak = self.left.max()

    def _place(self, blob: Blob) -> tuple[slice, slice, slice]:
        z, y, x = (slice(a.start - b, a.stop - b) for a, b in zip(blob.slices, self.start, strict=True))
        return z, y, x


def _comes_before(blob: Blob, other: Blob) -> bool:
    """Tells which of two blobs the package takes first."""
    if blob.confidence != other.confidence:
        return blob.confidence > other.confidence
    return blob.first_voxel < other.first_voxel


def _split(
    probability: npt.NDArray[np.float32], floor: np.float32, min_voxels: int
) -> tuple[list[_Island], npt.NDArray[np.float32]]:
    """Splits a volume into islands above the floor and the sorted values of those too small for a candidate."""
    from scipy import ndimage

    box = Box.of_mask(passing(probability, floor))
    if box is None:
        return [], np.empty(0, np.float32)
    probability = probability[box.slices]
    labels = np.empty(probability.shape, dtype=np.int32)
    ndimage.label(passing(probability, floor), structure=NEIGHBOURS, output=labels)
    small = np.bincount(labels.ravel()) <= min_voxels
    small[0] = False
    islands = []
    for number, slices in enumerate(ndimage.find_objects(labels), start=1):
        if not small[number]:
            z, y, x = (edge.start + offset for edge, offset in zip(slices, box.start, strict=True))
            islands.append(_Island((z, y, x), np.where(labels[slices] == number, probability[slices], np.float32(0))))
    specks = probability[small[labels]]
    return islands, np.sort(specks)

"""Calls report-guided-annotation on the smallest sub-volumes that give the answer of the whole volume.

Source: Bosma et al., "Semisupervised Learning with Report-guided Pseudo Labels for Deep Learning-based Prostate Cancer
Detection Using Biparametric MRI", Radiology: Artificial Intelligence 5(5), 2023; package report-guided-annotation.

The package visits the whole volume once per connected component and threshold. Both its modes come down to one step,
"the connected components (26 neighbours) at or above a threshold, each with its confidence if it has more than
`min_voxels` voxels". A component's answer depends on its own voxels alone, so that step is asked of the package for
one component at a time, on the component's own box.

The `dynamic` modes repeat the step with threshold M / factor, M being the highest probability left, take the component
of highest confidence (the first in scan order among equals) unless it touches one taken before, and remove it. The
repetition is done here, because M is all that couples distant parts of a volume:

* M ends the search below `STOPPING_PROBABILITY`, and with M below `lowest` nothing that is found can reach `lowest`.
  Hence no threshold that matters is below max(both) / factor, and no voxel below that floor is ever part of a
  component, nor touched, nor M.
* The volume therefore falls into islands, the components of the voxels at or above the floor. Every later component
  lies within one island, and components of different islands never touch: each island is worked on in its own box.
* An island of at most `min_voxels` voxels never yields a candidate. Only its values matter, as possible M: those are
  kept as a sorted list.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box

STOPPING_PROBABILITY = 0.01
"""The `dynamic` modes stop when the highest remaining probability is below this (the package's constant)."""

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.int8)
"""Connectivity of components: 26 neighbours, as in the package."""

_ROUNDING_MARGIN = 1.0 - 1e-6
"""Lowers a bound computed in float64 by more than a float32 rounding, so that it stays a bound."""

Index = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Blob:
    """A connected component that the package takes for a lesion candidate.

    Attributes:
        confidence: its highest probability.
        start: first index (z, y, x) of its box in the array it was looked for in.
        mask: its voxels, (z, y, x) within the box.
    """

    confidence: float
    start: Index
    mask: npt.NDArray[np.bool_]

    @property
    def slices(self) -> Slices:
        """The box as an index of the array that the blob was looked for in."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start, self.mask.shape, strict=True))
        return z, y, x

    @property
    def first_voxel(self) -> tuple[int, ...]:
        """Index (z, y, x) of its first voxel in scan order."""
        offset = np.unravel_index(int(self.mask.argmax()), self.mask.shape)
        return tuple(int(a + b) for a, b in zip(self.start, offset, strict=True))

    def moved(self, start: Index) -> Blob:
        """Returns the blob as seen from an array in which its array starts at `start` (z, y, x)."""
        z, y, x = (a + b for a, b in zip(self.start, start, strict=True))
        return Blob(self.confidence, (z, y, x), self.mask)


def static_blobs(probability: npt.NDArray[np.float32], threshold: np.float32, min_voxels: int) -> list[Blob]:
    """Returns the components at or above one threshold above 0, in scan order.

    Args:
        probability: (z, y, x), 0..1.
        threshold: above 0.
        min_voxels: components of this many voxels or fewer are left out.
    """
    box = Box.of_mask(probability >= threshold)
    if box is None:
        return []
    by_confidence = _components(probability[box.slices], threshold, min_voxels)
    return sorted((blob.moved(box.start) for blob in by_confidence), key=lambda blob: blob.first_voxel)


def dynamic_blobs(
    probability: npt.NDArray[np.float32],
    factor: float,
    min_voxels: int,
    num_lesions: int,
    lowest: float,
    remove_small: bool,
) -> list[Blob]:
    """Returns the components that the `dynamic` modes take, in the order in which they take them.

    Args:
        probability: (z, y, x), 0..1.
        factor: the threshold is the highest probability left divided by this, above 1.
        min_voxels: components of this many voxels or fewer are left out.
        num_lesions: the search ends with this many.
        lowest: the search may end when no component of this confidence can be found any more.
        remove_small: whether components of at most `min_voxels` are removed when only such pass the threshold
            (`dynamic-v2`), or end the search (`dynamic`).
    """
    floor = max(STOPPING_PROBABILITY, lowest) / factor * _ROUNDING_MARGIN
    islands, specks = _split(probability, floor, min_voxels)
    taken: list[Blob] = []
    while len(taken) < num_lesions:
        islands.sort(key=lambda island: -island.peak)
        highest = max([island.peak for island in islands[:1]] + [*specks[-1:]], default=np.float32(0))
        if highest < STOPPING_PROBABILITY or float(highest) < lowest:
            break
        threshold = np.float32(highest / factor)

        best, best_island = None, None
        for island in islands:
            if island.peak < threshold or (best is not None and island.peak < best.confidence):
                break  # neither this island nor those behind it, whose peaks are lower, can do better
            found = island.best(threshold, min_voxels)
            if found is not None and (best is None or _comes_before(found, best)):
                best, best_island = found, island

        if best is None or best_island is None:
            if not remove_small:
                break
            for island in islands:
                island.remove_above(threshold)
            specks = specks[: np.searchsorted(specks, threshold, side="right")]
            continue
        if best_island.take(best):
            taken.append(best)
    return taken


def _comes_before(blob: Blob, other: Blob) -> bool:
    """Tells which of two blobs the package takes first."""
    if blob.confidence != other.confidence:
        return blob.confidence > other.confidence
    return blob.first_voxel < other.first_voxel


class _Island:
    """A component of the voxels at or above the floor, while blobs are taken out of it.

    Attributes:
        start: first index (z, y, x) of its box in the volume.
        left: (z, y, x) probabilities not yet removed; 0 outside the island.
        taken: (z, y, x) voxels of blobs taken from it.
        peak: maximum of `left`.
    """

    def __init__(self, start: Index, left: npt.NDArray[np.float32]) -> None:
        self.start = start
        self.left = left
        self.taken: npt.NDArray[np.bool_] | None = None
        self.peak: np.float32 = left.max()

    def best(self, threshold: np.float32, min_voxels: int) -> Blob | None:
        """Returns the blob of highest confidence, the first in scan order among equals, placed in the volume."""
        blob = next(_components(self.left, threshold, min_voxels), None)
        return None if blob is None else blob.moved(self.start)

    def take(self, blob: Blob) -> bool:
        """Removes a blob; returns whether it is a candidate, touching none taken before."""
        from scipy import ndimage

        z, y, x = (slice(a.start - b, a.stop - b) for a, b in zip(blob.slices, self.start, strict=True))
        mask = np.zeros(self.left.shape, dtype=bool)
        mask[z, y, x] = blob.mask
        self.left[mask] = 0
        self.peak = self.left.max()
        if self.taken is None:
            self.taken = mask
            return True
        if bool((ndimage.binary_dilation(self.taken, structure=NEIGHBOURS) & mask).any()):
            return False
        self.taken |= mask
        return True

    def remove_above(self, threshold: np.float32) -> None:
        """Removes every voxel above a threshold."""
        if self.peak > threshold:
            self.left[self.left > threshold] = 0
            self.peak = self.left.max()


def _split(
    probability: npt.NDArray[np.float32], floor: float, min_voxels: int
) -> tuple[list[_Island], npt.NDArray[np.float32]]:
    """Splits a volume into islands above the floor and the sorted values of those too small for a candidate."""
    from scipy import ndimage

    box = Box.of_mask(probability >= floor)
    if box is None:
        return [], np.empty(0, np.float32)
    probability = probability[box.slices]
    labels, _ = ndimage.label(probability >= floor, structure=NEIGHBOURS)
    small = np.bincount(labels.ravel()) <= min_voxels
    small[0] = False
    islands = []
    for number, slices in enumerate(ndimage.find_objects(labels), start=1):
        if not small[number]:
            z, y, x = (edge.start + offset for edge, offset in zip(slices, box.start, strict=True))
            islands.append(_Island((z, y, x), np.where(labels[slices] == number, probability[slices], np.float32(0))))
    specks = probability[small[labels]]
    return islands, np.sort(specks)


def _components(probability: npt.NDArray[np.float32], threshold: np.float32, min_voxels: int) -> Iterator[Blob]:
    """Yields the components at or above a threshold, by falling confidence, in scan order among equals."""
    from scipy import ndimage

    labels, count = ndimage.label(probability >= threshold, structure=NEIGHBOURS)
    if count == 0:
        return
    sizes = np.bincount(labels.ravel())
    components = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] > min_voxels:  # of the others the package would be asked in vain
            mask = labels[box] == number
            components.append((box, mask, np.where(mask, probability[box], np.float32(0))))
    # They are numbered in scan order, which the stable sort keeps among equals.
    for box, mask, values in sorted(components, key=lambda component: -component[2].max()):
        answer = _package().extract_lesion_candidates(
            values, threshold=float(threshold), min_voxels_detection=min_voxels
        )
        for _, confidence in answer[1]:
            yield Blob(float(confidence), (box[0].start, box[1].start, box[2].start), mask)


@cache
def _package() -> Any:
    """Loads the package's extraction module alone.

    Importing the package itself prints a citation notice (the citation is above) and loads image readers that are not
    needed here; its extraction module depends on NumPy and SciPy only.
    """
    package = importlib.util.find_spec("report_guided_annotation")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "report-guided-annotation is not installed; run 'pip install report-guided-annotation'"
        )
    path = Path(package.submodule_search_locations[0]) / "extract_lesion_candidates.py"
    spec = importlib.util.spec_from_file_location("_report_guided_annotation_extraction", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"'{path}' cannot be loaded; reinstall report-guided-annotation")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

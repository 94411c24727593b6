"""The lesion candidates of a detection map and the lesions of a label: components, sizes and common voxels.

A candidate is a 26-connected component of detection map > 0, its confidence the component's maximum. A lesion is a
26-connected component of the label's lesion voxels. Everything a matching rule needs is counted here in one pass, so
that any number of rules can be applied to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.diameter import longest_axial_diameter_mm
from ctcore.errors import DatasetError
from ctcore.geometry import Box
from ctcore.volume import Geometry

NEIGHBOURS = np.ones((3, 3, 3), dtype=np.int8)
"""Connectivity of candidates and lesions: 26 neighbours."""

CONFIDENCE_TOLERANCE = 1e-6
"""How far above 1 a confidence may be, for rounding of stored values."""


@dataclass(frozen=True)
class Region:
    """One component.

    Attributes:
        voxels: their number.
        volume_ml: volume in millilitres.
        centroid_lps_mm: mean position of its voxels (x, y, z), LPS mm.
    """

    voxels: int
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]


@dataclass(frozen=True)
class CandidateRegion(Region):
    """A component of a detection map.

    Attributes:
        confidence: its largest value.
    """

    confidence: float


@dataclass(frozen=True)
class LesionRegion(Region):
    """A component of the lesion label.

    Attributes:
        diameter_mm: longest axial diameter.
    """

    diameter_mm: float


@dataclass(frozen=True, eq=False)
class CaseComponents:
    """Candidates and lesions of one case, each in scan order.

    Attributes:
        candidates: components of the detection map.
        lesions: components of the label.
        common: (lesions, candidates) number of common voxels.
        detection_max: maximum of the detection map.
        merged: number of candidates whose voxels hold more than one value, as touching candidates do.
    """

    candidates: tuple[CandidateRegion, ...]
    lesions: tuple[LesionRegion, ...]
    common: npt.NDArray[np.int64]
    detection_max: float
    merged: int


def find_components(
    detection_map: npt.NDArray[Any], lesion: npt.NDArray[np.bool_], geometry: Geometry
) -> CaseComponents:
    """Finds the candidates of a detection map and the lesions of a label.

    Args:
        detection_map: (z, y, x) confidences, 0..1, each candidate's voxels holding one value.
        lesion: (z, y, x) lesion voxels on the same grid.
        geometry: that grid.

    Raises:
        DatasetError: the map holds NaN, a negative value, a value above 1, or fewer components than distinct values,
            as a softmax does.
    """
    from scipy import ndimage

    detection_map = detection_map.astype(np.float32, copy=False)
    detection_max = _checked_maximum(detection_map)
    box = _occupied(detection_map, lesion, detection_max)
    if box is None:
        return CaseComponents((), (), np.zeros((0, 0), np.int64), 0.0, 0)
    detection_map, lesion = detection_map[box.slices], lesion[box.slices]  # does not change the scan order

    candidates, n_candidates = ndimage.label(detection_map > 0, structure=NEIGHBOURS)
    lesions, n_lesions = ndimage.label(lesion, structure=NEIGHBOURS)
    # Few voxels belong to either: all that follows looks at these alone.
    voxel = np.flatnonzero((candidates > 0) | (lesions > 0))
    candidate, lesion_of = candidates.ravel()[voxel], lesions.ravel()[voxel]
    highest, lowest = np.zeros(n_candidates + 1, np.float32), np.full(n_candidates + 1, np.inf, np.float32)
    values = detection_map.ravel()[voxel]
    np.maximum.at(highest, candidate, values)
    np.minimum.at(lowest, candidate, values)
    merged = int((lowest[1:] < highest[1:]).sum())
    if merged:
        _refuse_softmax(detection_map, n_candidates)

    pair = lesion_of.astype(np.int64) * (n_candidates + 1) + candidate
    counts = np.bincount(pair, minlength=(n_lesions + 1) * (n_candidates + 1))
    table = counts.reshape(n_lesions + 1, n_candidates + 1)
    places = [axis + start for axis, start in zip(np.unravel_index(voxel, box.shape), box.start, strict=True)]
    return CaseComponents(
        tuple(
            CandidateRegion(*region, confidence=float(confidence))
            for region, confidence in zip(
                _regions(candidate, table.sum(axis=0), places, geometry), highest[1:], strict=True
            )
        ),
        tuple(
            LesionRegion(*region, diameter_mm=longest_axial_diameter_mm(lesions[where] == number, geometry))
            for number, (region, where) in enumerate(
                zip(
                    _regions(lesion_of, table.sum(axis=1), places, geometry), ndimage.find_objects(lesions), strict=True
                ),
                start=1,
            )
        ),
        table[1:, 1:],
        detection_max,
        merged,
    )


def _checked_maximum(detection_map: npt.NDArray[np.float32]) -> float:
    """Returns the maximum of a map whose values are confidences."""
    low, high = float(detection_map.min()), float(detection_map.max())  # a NaN comes through both
    if math.isnan(low) or math.isnan(high):
        raise DatasetError("the detection map holds NaN; write confidences within 0..1")
    if low < 0 or high > 1 + CONFIDENCE_TOLERANCE:
        raise DatasetError(f"the detection map holds values from {low:g} to {high:g}; write confidences within 0..1")
    return high


def _occupied(
    detection_map: npt.NDArray[np.float32], lesion: npt.NDArray[np.bool_], detection_max: float
) -> Box | None:
    """Returns the box of all candidates and lesions."""
    if detection_max == 0:
        return Box.of_mask(lesion)
    planes = np.flatnonzero(detection_map.any(axis=(1, 2)) | lesion.any(axis=(1, 2)))
    first, last = int(planes[0]), int(planes[-1]) + 1
    slab = Box.of_mask((detection_map[first:last] > 0) | lesion[first:last])
    if slab is None:
        return None
    z, y, x = slab.start
    return Box((z + first, y, x), (slab.stop[0] + first, *slab.stop[1:]))


def _refuse_softmax(detection_map: npt.NDArray[np.float32], n_candidates: int) -> None:
    """Raises if a map has more distinct values than components."""
    n_values = np.unique(detection_map[detection_map > 0]).size
    if n_candidates < n_values:
        raise DatasetError(
            f"the map has {n_values} distinct values on {n_candidates} components: it looks like a softmax, not a"
            " detection map; give maps in which every candidate holds one value"
        )


def _regions(
    component: npt.NDArray[Any],
    voxels: npt.NDArray[np.int64],
    places: Sequence[npt.NDArray[np.intp]],
    geometry: Geometry,
) -> list[tuple[int, float, tuple[float, float, float]]]:
    """Returns number of voxels, ml and centroid of every component.

    Args:
        component: (n,) number of the component that each voxel belongs to, 0 for none.
        voxels: number of voxels of every component; the first is of none.
        places: z, y and x index (n,) of each voxel on the grid.
        geometry: the grid.
    """
    sums = [np.bincount(component, weights=place, minlength=voxels.size)[1:] for place in places]
    centres = np.stack(sums, axis=-1) / voxels[1:, None]
    return [
        (int(n), float(n) * geometry.voxel_volume_ml, (float(x), float(y), float(z)))
        for n, (x, y, z) in zip(voxels[1:], geometry.index_to_physical(centres), strict=True)
    ]

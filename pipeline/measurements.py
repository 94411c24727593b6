"""What is measured of a case on stage 2's segmentation; the measuring itself is `ctcore.morphometry`'s."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import LESION, values_of
from ctcore.geometry import Box
from ctcore.morphometry.paths import COARSE_MM, NEIGHBOURS
from ctcore.morphometry.region import Anatomy, measure_region
from ctcore.volume import Geometry
from pipeline.measurements_record import MeasurementsRecord
from pipeline.records import FLAG_NO_MEASUREMENTS

PANCREAS = "pancreas"
STRUCTURES = {
    "duct": "pancreatic duct",
    "bile_duct": "common bile duct",
    "veins": "veins",
    "arteries": "arteries",
}
"""Labels around the gland by what they are to the morphometry."""

LEAST_LESION_ML = 0.05
"""Smaller pieces of the lesion's label are not measured by themselves: a ball of 4.6 mm is some voxels of a CT."""
MOST_LESIONS = 10
"""Only so many of the largest are, so that a ragged segmentation does not take minutes."""

VOXEL_BYTES, COARSE_BYTES = 24, 100
"""Memory at most: bytes a voxel of the ROI, and bytes a voxel of those on which ways are looked for."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Segmented:
    """What stage 2 drew of a case, on the ROI, in LPS order.

    Attributes:
        labels: (z, y, x) its segmentation; None where none was made.
        label_values: values of the segmentation by name.
        candidates: (z, y, x) 0 outside, k inside the lesion candidate of number k.
        geometry: the ROI's grid.
    """

    labels: npt.NDArray[np.uint8] | None
    label_values: dict[str, int]
    candidates: npt.NDArray[np.signedinteger[Any]]
    geometry: Geometry


def measured_or_flagged(seen: Segmented, case_id: str) -> tuple[MeasurementsRecord | None, tuple[str, ...]]:
    """Measures a case; where that fails it is flagged and the log says why, but the case is not lost.

    Args:
        seen: what stage 2 drew.
        case_id: names the case in the log.

    Returns:
        The measurements, None without any; flags.
    """
    try:
        return measure(seen), ()
    except Exception:  # whatever a segmentation looks like, the score and the maps are sound
        logger.exception("case '%s' could not be measured", case_id)
        return None, (FLAG_NO_MEASUREMENTS,)


def measure(seen: Segmented) -> MeasurementsRecord | None:
    """Measures a case; None where no segmentation was made, or it has no label `pancreas`.

    Args:
        seen: what stage 2 drew.

    Raises:
        GeometryError: an array is not on the grid.
        ValidationError: a figure is infinite or no number.
    """
    pancreas = values_of(seen.label_values, (PANCREAS,))
    if seen.labels is None or not pancreas:
        return None
    labels = seen.labels
    lesion = np.isin(labels, values_of(seen.label_values, (LESION,)))
    voxel_ml = seen.geometry.voxel_volume_ml
    lesions = _lesions(lesion, voxel_ml)
    around = {name: _mask(labels, seen.label_values, label) for name, label in STRUCTURES.items()}
    gland = np.isin(labels, pancreas) | lesion  # pieces that are too small to be measured are no holes of the gland
    measured = measure_region(Anatomy(gland, **around), lesions, seen.geometry)
    candidates = {each.number: _candidate(seen.candidates[lesions == each.number]) for each in measured.lesions}
    return MeasurementsRecord.of(
        measured,
        int(np.count_nonzero(lesion)) * voxel_ml,
        {number: candidate for number, candidate in candidates.items() if candidate},
    )


def measuring_bytes(geometry: Geometry) -> int:
    """Returns the most memory that measuring an ROI of a grid takes, beside its segmentation."""
    steps = (max(1, round(COARSE_MM / side)) for side in geometry.spacing_zyx)
    coarse = math.prod(math.ceil(size / step) for size, step in zip(geometry.shape, steps, strict=True))
    return VOXEL_BYTES * math.prod(geometry.shape) + COARSE_BYTES * coarse


def _mask(labels: npt.NDArray[np.uint8], label_values: dict[str, int], name: str) -> npt.NDArray[np.bool_] | None:
    """Returns where a label is; None where the segmentation does not know it."""
    values = values_of(label_values, (name,))
    return np.isin(labels, values) if values else None


def _lesions(mask: npt.NDArray[np.bool_], voxel_ml: float) -> npt.NDArray[np.uint8]:
    """Returns the pieces (26 neighbours) of a mask that are lesions: 1 is the largest, 0 all else."""
    from scipy import ndimage

    lesions = np.zeros(mask.shape, np.uint8)
    box = Box.of_mask(mask)
    if box is None:
        return lesions
    pieces, count = ndimage.label(mask[box.slices], structure=NEIGHBOURS)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")  # of the same size, the first in scan order
    numbers = np.zeros(count + 1, np.uint8)
    large = [piece for piece in order[:MOST_LESIONS] if sizes[piece] * voxel_ml >= LEAST_LESION_ML]
    numbers[np.asarray(large, np.intp) + 1] = np.arange(1, len(large) + 1)
    lesions[box.slices] = numbers[pieces]
    return lesions


def _candidate(numbers: npt.NDArray[Any]) -> int:
    """Returns the lesion candidate that most of a lesion's voxels are in; 0 where none is."""
    shared = np.bincount(numbers[numbers > 0], minlength=1)
    return int(np.argmax(shared))

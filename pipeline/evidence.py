"""The evidence that the classifier draws its answer from: a map of it, and where it lies."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.evidence_record import EvidenceRecord
from pipeline.records import FLAG_NO_EVIDENCE

if TYPE_CHECKING:
    from ctcore.volume import Geometry
    from pipeline.told import Told

MAIN_CANDIDATE = 1
"""Number of the most confident candidate."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence for a class in a case.

    Attributes:
        map: float32 (z, y, x) on the ROI, in LPS order: 0 to 1, of what speaks for the class.
        record: where it lies.
    """

    map: npt.NDArray[np.float32]
    record: EvidenceRecord


@dataclass(frozen=True, eq=False)
class Places:
    """Where evidence may lie, on the ROI, in LPS order.

    Attributes:
        candidates: (z, y, x) 0 outside, k inside the lesion candidate of number k.
        pancreas: bool (z, y, x): gland, duct and lesions.
        geometry: the ROI's grid.
    """

    candidates: npt.NDArray[np.signedinteger[Any]]
    pancreas: npt.NDArray[np.bool_]
    geometry: Geometry


def explained_class(probabilities: Mapping[str, float], lesion_classes: Collection[str]) -> str:
    """Returns the class that is explained: the most probable one with a lesion, also where none is likely.

    So the map always tells what speaks for a lesion, and maps of different cases can be compared.

    Args:
        probabilities: by class name.
        lesion_classes: those that stand for a lesion, one at least.
    """
    return max((name for name in probabilities if name in lesion_classes), key=probabilities.__getitem__)


def explained_or_flagged(
    told: Told, lesion_classes: Collection[str], places: Places, case_id: str
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Explains a case; where that fails it is flagged and the log says why, but the case is not lost.

    Args:
        told: what the folds that ran have said.
        lesion_classes: those that stand for a lesion.
        places: where evidence may lie.
        case_id: names the case in the log.

    Returns:
        The evidence, None without any; flags.
    """
    try:
        probabilities = told.prediction.class_probabilities
        name = explained_class(probabilities, lesion_classes)
        return weigh(told.running.evidence(name, probabilities), name, places), ()
    except Exception:  # too little memory for gradients, say: the score and the maps are sound
        logger.exception("case '%s' could not be explained", case_id)
        return None, (FLAG_NO_EVIDENCE,)


def weigh(density: npt.NDArray[np.floating[Any]], name: str, places: Places) -> Evidence:
    """Makes a map of evidence, and tells where it lies.

    Args:
        density: (z, y, x) on the ROI, log-odds per ml, below 0 what speaks against the class.
        name: the class.
        places: where evidence may lie.

    Raises:
        ValidationError: a value is not finite.
    """
    voxel_ml = places.geometry.voxel_volume_ml
    candidate = places.candidates == MAIN_CANDIDATE
    pancreas = places.pancreas & ~candidate
    positive = np.maximum(density, 0)
    supporting, opposing = (float(part.sum(dtype=np.float64)) for part in (positive, positive - density))
    inside = [float(positive[mask].sum(dtype=np.float64)) for mask in (candidate, pancreas)]
    shares: list[float | None] = [None, None, None]
    scale, peak = float(positive.max()), None
    if scale > 0:
        first, second = (value / supporting for value in inside)
        shares = [first, second, max(0.0, 1 - first - second)]
        x, y, z = places.geometry.index_to_physical(np.unravel_index(int(positive.argmax()), positive.shape)).tolist()
        peak = (x, y, z)
        positive = positive / np.float32(scale)
    record = EvidenceRecord(
        class_name=name,
        supporting=supporting * voxel_ml,
        opposing=opposing * voxel_ml,
        scale=scale,
        candidate_share=shares[0],
        pancreas_share=shares[1],
        elsewhere_share=shares[2],
        candidate_volume_share=float(candidate.mean()),
        pancreas_volume_share=float(pancreas.mean()),
        peak_lps_mm=peak,
    )
    return Evidence(positive.astype(np.float32, copy=False), record)

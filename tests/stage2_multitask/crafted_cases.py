"""Four crops whose figures are known by hand, and predictions of networks that do not exist.

A line of 20 voxels of each crop is shown; `1` to `9` are probabilities in tenths, `L` is lesion.

    a  9999999999..........   LLLLLLLL............   hit, IoU 8 / 10
    b  ...............444..   LLLLLLLL............   missed; a false positive, of 0.48
    c  ...66...............   none                   false positive
    d  ....................   none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ctcore.detection.candidates import CandidateSettings
from ctcore.volume import Geometry
from stage2_multitask.measure import CaseTruth, MeasuredCase, Scoring, measure_prediction

SHAPE = (3, 8, 20)
GEOMETRY = Geometry(SHAPE, (0.8, 0.8, 2.0), (-50.0, -40.0, 900.0))
LABELS = {"background": 0, "lesion": 1, "pancreas": 4}
SCORING = Scoring(candidates=CandidateSettings(min_voxels=0))

RUNS = {"a": (0, 10, 0.9), "b": (15, 18, 0.48), "c": (3, 5, 0.6), "d": (0, 0, 0.0)}
LESION = {"a": (0, 8), "b": (0, 8), "c": (0, 0), "d": (0, 0)}
P_PDAC = {"a": 0.7, "b": 0.54, "c": 0.2, "d": 0.6}
CLASSES = {"a": "PDAC", "b": "PDAC", "c": "non-PDAC", "d": "non-PDAC"}


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction."""

    lesion_probability: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    class_probabilities: Mapping[str, float]
    class_lesion_probabilities: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def answer(start: int, stop: int, value: float, classes: Mapping[str, float]) -> Answer:
    """Lesion in one line from x = start to stop, with a probability; segmented where that is 0.5 or more."""
    probability = np.zeros(SHAPE, dtype=np.float32)
    probability[1, 4, start:stop] = value
    segmentation = np.where(probability >= 0.5, 1, 0).astype(np.uint8)
    segmentation[2, :4] = 4
    return Answer(probability, segmentation, classes)


def truth(case_id: str, class_name: str, start: int, stop: int, patient_id: str = "") -> CaseTruth:
    """A lesion in one line from x = start to stop, and a pancreas that `answer` finds to the voxel."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1, 4, start:stop] = 1
    labels[2, :4] = 4
    return CaseTruth(case_id, class_name, labels, GEOMETRY, patient_id)


def measured(case_id: str, fold: str = "0", scoring: Scoring = SCORING) -> tuple[MeasuredCase, npt.NDArray[np.float32]]:
    """One of the four cases."""
    p = P_PDAC[case_id]
    return measure_prediction(
        answer(*RUNS[case_id], {"non-PDAC": 1 - p, "PDAC": p}),
        truth(case_id, CLASSES[case_id], *LESION[case_id]),
        LABELS,
        ["lesion"],
        scoring,
        fold=fold,
    )


def four_cases(fold: str = "0") -> list[MeasuredCase]:
    """All four."""
    return [measured(case_id, fold)[0] for case_id in CLASSES]


def subtype_case(case_id: str, true: int, probabilities: tuple[float, float, float], hit: bool) -> MeasuredCase:
    """A case of one of three subtypes, each with a lesion, which is hit or not."""
    classes = {f"subtype{k}": p for k, p in enumerate(probabilities)}
    case, _ = measure_prediction(
        answer(0 if hit else 12, 8 if hit else 20, 0.8, classes),
        truth(case_id, f"subtype{true}", 0, 8),
        LABELS,
        ["lesion"],
        SCORING,
    )
    return case

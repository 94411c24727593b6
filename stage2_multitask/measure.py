"""One case of a multi-task network's evaluation: what it says of an ROI crop, against the crop's label map and class.

Everything is counted on the crop's own grid, by the code that a run and its evaluation use: `ctcore.detection` makes
candidates, detection map and fused score, `ctcore.evaluation` matches candidates with lesions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import LESION, PANCREAS_PARTS, values_of
from ctcore.detection.by_class import find_lesions
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.detection_map import detection_map
from ctcore.detection.fusion import FusionSettings, fuse
from ctcore.errors import GeometryError, LabelError
from ctcore.evaluation.components import find_components
from ctcore.evaluation.matching import MatchingRule, match
from ctcore.evaluation.measure import SegmentedLabel, agreement_of
from ctcore.evaluation.tables import CaseRecord
from ctcore.labels import lesion_classes_of
from ctcore.volume import Geometry


class Prediction(Protocol):
    """What a network says of an ROI crop: a `MultiTaskPrediction`, or arrays from memory."""

    @property
    def lesion_probability(self) -> npt.NDArray[np.float32]:
        """(z, y, x) probability of the lesion label."""

    @property
    def segmentation(self) -> npt.NDArray[np.integer[Any]]:
        """(z, y, x) most probable label."""

    @property
    def class_probabilities(self) -> Mapping[str, float]:
        """Probability by class, in the order of the logits; sums to 1."""

    @property
    def class_lesion_probabilities(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """(z, y, x) probability of each lesion class's own label; empty where all lesions are one label."""


@dataclass(frozen=True)
class Scoring:
    """How a prediction becomes candidates and a score, and what counts as a hit.

    Attributes:
        lesion_classes: classes that stand for a lesion; empty: those with a label of their own, or else PDAC and the
            three subtypes.
        candidates: how lesion candidates are cut out.
        fusion: how the score is made.
        rule: what makes a hit.
    """

    lesion_classes: tuple[str, ...] = ()
    candidates: CandidateSettings = field(default_factory=CandidateSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    rule: MatchingRule = field(default_factory=MatchingRule)


@dataclass(frozen=True, eq=False)
class CaseTruth:
    """What is known of a case.

    Attributes:
        case_id: the case.
        class_name: its class.
        labels: (z, y, x) label map on the crop's grid, in the network's label values.
        geometry: that grid.
        patient_id: its patient; "" where it is the only case of its patient.
    """

    case_id: str
    class_name: str
    labels: npt.NDArray[np.integer[Any]]
    geometry: Geometry
    patient_id: str = ""


@dataclass(frozen=True, eq=False)
class MeasuredCase:
    """What is kept of a case: numbers, no volumes.

    Attributes:
        record: class, fused score and label, candidates against lesions, agreement by label: as `pipeline evaluate` has
            them of a run.
        probabilities: the head's probability by class, in the order of the logits.
        scores: the fused score by class, in the same order.
        lesion_classes: classes that stand for a lesion.
        lesion_label: name of the lesion among the labels of `record.agreement`; where there are several, of all as one.
        detection_max: maximum of its detection map, before candidates were weighed by the class.
        fold: what predicted it: a fold, or `ensemble`.
        patient_id: its patient.
        flags: what a reader must know of its candidates.
        seconds: of prediction and measuring, without reading.
    """

    record: CaseRecord
    probabilities: Mapping[str, float]
    scores: Mapping[str, float]
    lesion_classes: tuple[str, ...]
    lesion_label: str
    detection_max: float
    fold: str = ""
    patient_id: str = ""
    flags: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def case_id(self) -> str:
        """The case."""
        return self.record.case_id

    @property
    def badness(self) -> float:
        """How wrong the case is: 1 - the fused score of its true class, and 1 more if all its lesions are missed."""
        missed = self.record.match.n_lesions > 0 and self.record.match.n_missed == self.record.match.n_lesions
        return 1.0 - self.scores[self.record.class_name] + missed


def measure_prediction(
    prediction: Prediction,
    truth: CaseTruth,
    labels: Mapping[str, int],
    lesions: Sequence[str],
    scoring: Scoring,
    *,
    fold: str = "",
    seconds: float = 0.0,
) -> tuple[MeasuredCase, npt.NDArray[np.float32]]:
    """Measures a prediction, and returns its detection map (z, y, x) too.

    A pancreas gate, if the candidates have one, is around the pancreas of the segmentation: there is no localizer here.

    Args:
        prediction: what the network says.
        truth: what is right.
        labels: label value by name, of segmentation and label map.
        lesions: names of the lesion among them; the label map's are matched whichever of them they are.
        scoring: candidates, fusion and hits.
        fold: what predicted it.
        seconds: of the prediction.

    Raises:
        GeometryError: prediction and label map differ in shape.
        LabelError: the network does not know the case's class.
        ProbabilityError: a probability is not finite or not within 0..1.
        RequestError: lesion classes are not among the network's, or not those with labels of their own.
        DatasetError: touching candidates look like a softmax; set `one_per_component` or drop adjacent candidates.
    """
    classes = {name: float(p) for name, p in prediction.class_probabilities.items()}
    _check(prediction, truth, classes)
    own = prediction.class_lesion_probabilities
    lesion_classes = lesion_classes_of(tuple(classes), scoring.lesion_classes or tuple(own))
    pancreas = None
    if scoring.candidates.pancreas_gate_mm is not None:
        pancreas = np.isin(prediction.segmentation, values_of(labels, PANCREAS_PARTS))
    found = find_lesions(
        prediction.lesion_probability,
        own,
        scoring.candidates,
        truth.geometry,
        pancreas,
    )
    fused = fuse(classes, found.maxima(), scoring.fusion, lesion_classes)
    if scoring.fusion.weigh_candidates:
        found = found.weighed(classes, lesion_classes)
    detection = detection_map(found.candidates)
    lesion_values = tuple(labels[name] for name in lesions)
    segmented = [SegmentedLabel(name, (value,), (value,)) for name, value in labels.items() if value != 0]
    if len(lesions) > 1:
        segmented.append(SegmentedLabel(LESION, lesion_values, lesion_values))
    components = find_components(detection, np.isin(truth.labels, lesion_values), truth.geometry)
    record = CaseRecord(
        case_id=truth.case_id,
        positive=truth.class_name in lesion_classes,
        class_name=truth.class_name,
        score=fused.score,
        predicted_class=fused.label,
        probability=fused.terms["p_lesion"],
        components=components,
        match=match(components, scoring.rule),
        agreement=agreement_of(prediction.segmentation, truth.labels, segmented),
    )
    measured = MeasuredCase(
        record,
        classes,
        fused.scores,
        lesion_classes,
        lesions[0] if len(lesions) == 1 else LESION,
        fused.terms["detection_max"],
        fold,
        truth.patient_id or truth.case_id,
        found.candidates.flags,
        seconds,
    )
    return measured, detection


def _check(prediction: Prediction, truth: CaseTruth, classes: Mapping[str, float]) -> None:
    """Refuses a prediction that is not one of this case."""
    shape = truth.geometry.shape
    for name, array in (
        ("lesion probability", prediction.lesion_probability),
        ("segmentation", prediction.segmentation),
        ("label map", truth.labels),
    ):
        if array.shape != shape:
            raise GeometryError(f"case '{truth.case_id}': its {name} has shape {array.shape}, its grid {shape}")
    if truth.class_name not in classes:
        raise LabelError(
            f"case '{truth.case_id}' has class '{truth.class_name}'; the network knows {', '.join(classes)}"
        )

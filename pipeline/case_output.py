"""What a case has come to, as Python programs get it: typed values, and images on the input's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctcore.detection.measures import Candidate, LpsBox
from ctcore.geometry import Box, Inset
from ctcore.itk import to_sitk

if TYPE_CHECKING:
    import SimpleITK as sitk

    from pipeline.case import CaseResult
    from pipeline.measurements_record import MeasurementsRecord
    from pipeline.records import CaseRecord


@dataclass(frozen=True)
class LesionCandidate(Candidate):
    """One lesion candidate; `box` is an index box (z, y, x) of the input's grid.

    Attributes:
        class_name: its lesion class, where the bundle's network segments each one as a label of its own; else None.
    """

    class_name: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LesionCandidate:
        """Returns a candidate from the JSON types of a case's record."""
        boxes = {
            "box": Box(tuple(values["box"]["start"]), tuple(values["box"]["stop"])),
            "box_lps_mm": LpsBox(tuple(values["box_lps_mm"]["low"]), tuple(values["box_lps_mm"]["high"])),
            "centroid_lps_mm": tuple(values["centroid_lps_mm"]),
        }
        return cls(**{**values, **boxes})


@dataclass(frozen=True, eq=False)
class CaseOutput:
    """What a case has come to. Images lie on the grid of the CT as it was given, whatever its orientation.

    Attributes:
        case_id: the case.
        score: fused score of a lesion, 0..1.
        scores: fused score of every class.
        label: the class with the highest score.
        probabilities: calibrated probability of every class; they sum to 1.
        detection_max: maximum of the detection map, 0 without candidates.
        detection_map: float32; every candidate's voxels hold its confidence, all else is 0.
        class_detection_maps: the same of each lesion class; empty where the network has one label for all lesions.
        segmentation: uint8 labels, 0 outside the ROI; None where none was asked for.
        segmentation_labels: values of the segmentation by name.
        evidence: float32, 0 to 1, what the classifier draws a lesion from (docs/evidence.md); None without it.
        candidates: lesion candidates from the most confident to the least.
        roi: the region that the multi-task network saw, an index box (z, y, x) of the CT as it was given.
        pancreas_ml: volume of the pancreas that was found, in millilitres.
        measurements: what was measured on the segmentation (docs/measurements.md); None without one of the pancreas.
        flags: what a reader must know; see docs/outputs.md.
        notice: what the model is not, or None.
        seconds: time by phase.
        record: all of this, but for the images, as `cases/CASE.json` holds it.
    """

    case_id: str
    score: float
    scores: dict[str, float]
    label: str
    probabilities: dict[str, float]
    detection_max: float
    detection_map: sitk.Image
    class_detection_maps: dict[str, sitk.Image]
    segmentation: sitk.Image | None
    segmentation_labels: dict[str, int]
    evidence: sitk.Image | None
    candidates: tuple[LesionCandidate, ...]
    roi: Box
    pancreas_ml: float
    measurements: MeasurementsRecord | None
    flags: tuple[str, ...]
    notice: str | None
    seconds: dict[str, float]
    record: CaseRecord

    @classmethod
    def of(cls, result: CaseResult, record: CaseRecord) -> CaseOutput:
        """Returns the output of a case that is done.

        Args:
            result: what was computed.
            record: what is recorded of it.
        """
        segmentation, evidence = result.segmentation_inset(), result.evidence_inset()
        return cls(
            case_id=record.case_id,
            score=result.fused.score,
            scores=dict(record.scores),
            label=result.fused.label,
            probabilities=dict(record.classes),
            detection_max=result.detection_max,
            detection_map=_image(result.detection_inset()),
            class_detection_maps={name: _image(inset) for name, inset in result.class_detection_insets().items()},
            segmentation=None if segmentation is None else _image(segmentation),
            segmentation_labels=dict(record.segmentation_labels),
            evidence=None if evidence is None else _image(evidence),
            candidates=tuple(map(LesionCandidate.from_dict, record.candidates)),
            roi=result.reorientation.restore_box(result.box),
            pancreas_ml=float(result.location.pancreas_ml),
            measurements=record.measurements,
            flags=record.flags,
            notice=record.notice,
            seconds=dict(record.seconds),
            record=record,
        )


def _image(inset: Inset) -> sitk.Image:
    return to_sitk(inset.whole())

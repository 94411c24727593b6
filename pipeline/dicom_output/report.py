"""DICOM SR (TID 1500, Measurement Report): the score, what was measured of each candidate and on the segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import highdicom as hd
from highdicom.sr import CodedConcept, Measurement, QualitativeEvaluation

from pipeline.dicom_output import codes
from pipeline.dicom_output.maker import DEMO_TEXT, PRODUCT, Maker
from pipeline.dicom_output.measurements import measurement_groups
from pipeline.dicom_output.segmentation import Segment

if TYPE_CHECKING:
    from pipeline.case import CaseResult

REPORT_SERIES = 9903

MEASUREMENTS = (
    ("volume_ml", codes.VOLUME, codes.MILLILITRE, None),
    ("diameter_mm", codes.LONG_AXIS, codes.MILLIMETRE, None),
    ("mean_hu", codes.ATTENUATION, codes.HOUNSFIELD, codes.MEAN),
    ("confidence", codes.CONFIDENCE, codes.NO_UNITS, None),
    ("pancreas_distance_mm", codes.PANCREAS_DISTANCE, codes.MILLIMETRE, None),
)
"""What is said of a candidate: key in `cases/CASE.json`, code, unit, derivation."""


def make_report(
    result: CaseResult, lesions: hd.seg.Segmentation | None, segments: Sequence[Segment], maker: Maker
) -> hd.sr.ComprehensiveSR:
    """Returns the structured report of a case.

    Args:
        result: the case.
        lesions: the SEG of its candidates, None without any.
        segments: of that, in the order of the candidates.
        maker: who made it, of which slices.
    """
    groups: list[Any] = [_patient(result, maker)]
    if lesions is not None:
        groups += [
            _lesion(lesions, number, segment, candidate, maker)
            for number, (segment, candidate) in enumerate(zip(segments, result.candidates, strict=True), start=1)
        ]
    groups += measurement_groups(result.measurements, _algorithm(maker))
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name=PRODUCT, manufacturer_name=PRODUCT, model_name=maker.model, serial_number=maker.serial
    )
    context = hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=CodedConcept("121007", "DCM", "Device"), observer_identifying_attributes=device
        )
    )
    content = hd.sr.MeasurementReport(
        observation_context=context,
        procedure_reported=codes.CT_PROCEDURE,
        imaging_measurements=groups,
        title=CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    return hd.sr.ComprehensiveSR(
        evidence=[*maker.sources, *([] if lesions is None else [lesions])],
        content=content,
        series_instance_uid=hd.UID(),
        series_number=REPORT_SERIES,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=PRODUCT,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=maker.description("Pancreatic lesion report"),
    )


def _algorithm(maker: Maker) -> hd.sr.AlgorithmIdentification:
    return hd.sr.AlgorithmIdentification(name=maker.model, version=maker.model_version)


def _patient(result: CaseResult, maker: Maker) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """Returns what is said of the patient: scores, class, flags, and what the model is not."""
    measured = [Measurement(codes.SCORE, float(result.fused.score), codes.NO_UNITS)]
    measured.append(Measurement(codes.DETECTION_MAXIMUM, result.detection_max, codes.NO_UNITS))
    for number, (name, probability) in enumerate(result.classes.items()):
        measured.append(
            Measurement(codes.own(f"p_{number}", f"Probability of class {name}"), float(probability), codes.NO_UNITS)
        )
    said = []
    if maker.bundle.manifest.demo:
        said.append(QualitativeEvaluation(codes.NOTICE, codes.own("demo_model", DEMO_TEXT)))
    number = list(result.classes).index(result.fused.label) if result.fused.label in result.classes else 0
    said.append(QualitativeEvaluation(codes.PREDICTED_CLASS, codes.own(f"class_{number}", result.fused.label)))
    said += [QualitativeEvaluation(codes.FLAG, codes.own(flag[:16], flag.replace("_", " "))) for flag in result.flags]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), "patient"),
        algorithm_id=_algorithm(maker),
        finding_sites=[hd.sr.FindingSite(anatomic_location=codes.PANCREAS)],
        measurements=measured,
        qualitative_evaluations=said,
    )


def _lesion(
    lesions: hd.seg.Segmentation, number: int, segment: Segment, candidate: Mapping[str, Any], maker: Maker
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Returns what was measured of a candidate."""
    measured = [
        Measurement(code, float(candidate[key]), unit, derivation=derivation)
        for key, code, unit, derivation in MEASUREMENTS
        if candidate.get(key) is not None
    ]
    said = None
    if "class_name" in candidate:
        name = str(candidate["class_name"])
        said = [
            QualitativeEvaluation(codes.own("lesion_class", "Class that is surest of it"), codes.own(name[:16], name))
        ]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(segment.tracking_uid, segment.tracking_id),
        referenced_segment=hd.sr.ReferencedSegment(
            lesions.SOPClassUID,
            lesions.SOPInstanceUID,
            number,
            source_series=hd.sr.SourceSeriesForSegmentation(maker.sources[0].SeriesInstanceUID),
        ),
        finding_type=codes.LESION,
        algorithm_id=_algorithm(maker),
        finding_sites=[hd.sr.FindingSite(anatomic_location=codes.PANCREAS)],
        measurements=measured,
        qualitative_evaluations=said,
    )

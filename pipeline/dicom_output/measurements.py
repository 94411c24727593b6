"""What was measured on the segmentation, as groups of the structured report: what the standard has codes for."""

from __future__ import annotations

import highdicom as hd
from highdicom.sr import Measurement

from pipeline.dicom_output import codes
from pipeline.measurements_record import DuctRecord, MeasuredLesionRecord, MeasurementsRecord

Group = hd.sr.MeasurementsAndQualitativeEvaluations


def measurement_groups(
    measurements: MeasurementsRecord | None, algorithm: hd.sr.AlgorithmIdentification
) -> list[Group]:
    """Returns a group (TID 1501) each for the pancreas, its ducts and every lesion; none where nothing was measured.

    Volumes, calibres and the longest axial diameter are told. Lengths and places along centre lines and contact with
    vessels have no codes of their own.

    Args:
        measurements: of the case.
        algorithm: what has measured.
    """
    if measurements is None:
        return []
    groups = []
    if measurements.gland is not None:
        volume = Measurement(codes.VOLUME, measurements.gland.volume_ml, codes.MILLILITRE)
        groups.append(_group("pancreas", codes.PANCREAS, [volume], algorithm))
    for name, duct in (("pancreatic duct", measurements.duct), ("common bile duct", measurements.bile_duct)):
        if duct is not None:
            groups.append(_group(name, codes.ANATOMY[name], _duct(duct), algorithm))
    groups += [
        _group(f"lesion {lesion.number}", codes.PANCREAS, _lesion(lesion), algorithm, finding=codes.LESION)
        for lesion in measurements.lesions
    ]
    return groups


def _group(
    name: str,
    site: hd.sr.CodedConcept,
    measured: list[Measurement],
    algorithm: hd.sr.AlgorithmIdentification,
    finding: hd.sr.CodedConcept | None = None,
) -> Group:
    return Group(
        tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), f"segmentation: {name}"),
        finding_type=finding,
        algorithm_id=algorithm,
        finding_sites=[hd.sr.FindingSite(anatomic_location=site)],
        measurements=measured,
    )


def _duct(duct: DuctRecord) -> list[Measurement]:
    return [
        Measurement(codes.DIAMETER, duct.largest_mm, codes.MILLIMETRE, derivation=codes.MAXIMUM),
        Measurement(codes.DIAMETER, duct.median_mm, codes.MILLIMETRE, derivation=codes.MEDIAN),
    ]


def _lesion(lesion: MeasuredLesionRecord) -> list[Measurement]:
    return [
        Measurement(codes.VOLUME, lesion.volume_ml, codes.MILLILITRE),
        Measurement(codes.LONG_AXIS, lesion.diameter_mm, codes.MILLIMETRE),
    ]

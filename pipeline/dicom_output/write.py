"""Writing a case as DICOM: two SEG and an SR in one folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import highdicom as hd
from pydicom import dcmread, dcmwrite

from ctcore.dicom.source import Opener
from ctcore.durable import write_atomic
from pipeline.dicom_output import codes
from pipeline.dicom_output.maker import Maker
from pipeline.dicom_output.report import make_report
from pipeline.dicom_output.segmentation import Segment, make_segmentation
from pipeline.label_colours import COLOURS, coloured
from pipeline.output_paths import DICOM_LESIONS, DICOM_REPORT, DICOM_SEGMENTATION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ctcore.dicom.choose import DicomSeries
    from pipeline.bundle import Bundle
    from pipeline.case import CaseResult

LESION_SERIES = 9901
SEGMENTATION_SERIES = 9902
"""Numbers of our series; scanners' are lower."""


def write_dicom(series: DicomSeries, result: CaseResult, bundle: Bundle, folder: Path) -> list[Path]:
    """Writes a case's lesion candidates and segmentation as DICOM SEG, where there are such, and its report as SR.

    All are of the patient, the study and the frame of reference of the CT, and refer to its slices.

    Args:
        series: the CT, sound.
        result: the case.
        bundle: the models.
        folder: where the files go; each appears complete or not at all.

    Returns:
        The files.

    Raises:
        CaseError: a slice can no longer be read.
        Exception: whatever highdicom finds wrong with the source's headers.
    """
    maker = Maker(bundle, _headers(series))
    made: dict[str, Dataset] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names and values of the source that break the standard's rules are kept
        lesion_segments = [
            Segment(
                candidate["number"],
                f"Lesion candidate {candidate['number']}",
                codes.ABNORMAL_STRUCTURE,
                codes.LESION,
                COLOURS["lesion"],
                f"lesion-candidate-{candidate['number']}",
                hd.UID(),
            )
            for candidate in result.candidates
        ]
        lesions = make_segmentation(
            result.candidates_inset(),
            lesion_segments,
            maker,
            description="Lesion candidates",
            series_number=LESION_SERIES,
        )
        if lesions is not None:
            made[DICOM_LESIONS] = lesions
        labels = result.segmentation_inset()
        if labels is not None:
            segments = [
                Segment(c.value, c.name, *codes.structure(c.name), c.rgb) for c in coloured(result.segmentation_labels)
            ]
            anatomy = make_segmentation(
                labels, segments, maker, description="Segmentation", series_number=SEGMENTATION_SERIES
            )
            if anatomy is not None:
                made[DICOM_SEGMENTATION] = anatomy
        made[DICOM_REPORT] = make_report(result, lesions, lesion_segments, maker)
    for name, dataset in made.items():
        write_atomic(folder / name, lambda path, dataset=dataset: dcmwrite(path, dataset, enforce_file_format=True))  # type: ignore[misc]
    return [folder / name for name in made]


def _headers(series: DicomSeries) -> list[Dataset]:
    """Returns the whole headers of a series' slices, in their order, without voxels."""
    with Opener() as opener, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers: list[Dataset] = []
        for each in series.slices:
            with opener.open(each.source) as handle:
                headers.append(dcmread(handle, stop_before_pixels=True, force=True))
    return headers

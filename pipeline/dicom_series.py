"""DICOM series as they are recorded and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctcore.dicom.choose import digest_of
from pipeline.run_record import SeriesRecord

if TYPE_CHECKING:
    from ctcore.cts import FoundCts


def descriptions(found: FoundCts) -> dict[tuple[str, int], str]:
    """Returns what whoever made the series called them, by (`series`, `part`): for the screen, not for results.

    It is free text, which may name a patient.
    """
    return {(series.digest, series.part): series.first.description for series in found.series}


def series_records(found: FoundCts) -> tuple[SeriesRecord, ...]:
    """Returns every DICOM series of an input: cases first, then by study, series number and part."""
    records = [
        SeriesRecord(
            series=series.digest,
            study=digest_of(series.first.study),
            part=series.part,
            number=series.first.number,
            modality=series.first.modality,
            slices=len(series.slices),
            size=(series.first.rows, series.first.columns),
            spacing_mm=None if series.geometry is None else series.geometry.spacing,
            verdict=series.verdict,
            reason=series.reason,
            case_id=found.case_id_of(series),
        )
        for series in found.series
    ]
    return tuple(sorted(records, key=lambda r: (r.case_id is None, r.case_id or "", r.study, r.number or 0, r.part)))

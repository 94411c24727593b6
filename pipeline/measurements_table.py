"""`measurements.csv`: one row a case, its figures and those of its main lesion."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ctcore.morphometry.vessels import (
    HEPATIC_ARTERY,
    MESENTERIC_ARTERY,
    MESENTERIC_VEIN,
    PORTAL_VEIN,
    SPLENIC_ARTERY,
    SPLENIC_VEIN,
)
from pipeline.measurements_record import DuctRecord, GlandRecord, MeasuredLesionRecord, MeasurementsRecord
from pipeline.records import CaseRecord

VESSELS = (PORTAL_VEIN, MESENTERIC_VEIN, SPLENIC_VEIN, MESENTERIC_ARTERY, HEPATIC_ARTERY, SPLENIC_ARTERY)
"""In the order of the columns."""

GLAND = ("volume_ml", "length_mm", "thickness_mm", "confluence_mm")
DUCT = ("largest_mm", "median_mm", "length_mm", "dilated_mm")
BILE_DUCT = ("largest_mm", "median_mm", "length_mm")
LESION = (
    "candidate",
    "volume_ml",
    "diameter_mm",
    "part",
    "position_mm",
    "upstream_thickness_mm",
    "downstream_thickness_mm",
)

HEADER = (
    "case_id",
    "status",
    *(f"gland_{name}" for name in GLAND),
    *(f"duct_{name}" for name in DUCT),
    *(f"bile_duct_{name}" for name in BILE_DUCT),
    "n_lesions",
    "lesion_ml",
    *(f"main_lesion_{name}" for name in LESION),
    *(f"{vessel.replace(' ', '_')}_{name}" for vessel in VESSELS for name in ("degrees", "mm")),
)
"""The columns."""


def measurements_csv(records: Sequence[CaseRecord]) -> str:
    """Returns the table of measurements; numbers are written in full, what is not known is left empty.

    Args:
        records: the cases.
    """
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(HEADER)
    for record in records:
        known = record.measurements
        figures = [""] * (len(HEADER) - 2) if known is None else _figures(known)
        table.writerow((record.case_id, record.status, *figures))
    return buffer.getvalue()


def _figures(known: MeasurementsRecord) -> list[str]:
    lesion = known.main_lesion
    return [
        *_values(known.gland, GLAND),
        *_values(known.duct, DUCT),
        *_values(known.bile_duct, BILE_DUCT),
        str(len(known.lesions)),
        repr(known.lesion_ml),
        *_values(lesion, LESION),
        *(text for vessel in VESSELS for text in _contact(lesion, vessel)),
    ]


def _values(of: GlandRecord | DuctRecord | MeasuredLesionRecord | None, names: Sequence[str]) -> list[str]:
    """Returns some attributes as text, empty where there is none."""
    values = [None if of is None else getattr(of, name) for name in names]
    return ["" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values]


def _contact(lesion: MeasuredLesionRecord | None, vessel: str) -> tuple[str, str]:
    """Returns degrees and length of a lesion's contact with a vessel; empty where the vessel does not show."""
    contact = None if lesion is None else lesion.contact.get(vessel)
    return ("", "") if contact is None else (repr(contact.degrees), repr(contact.length_mm))

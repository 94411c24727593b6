"""The measurements of a case on the report's page."""

from __future__ import annotations

import html
from collections.abc import Iterable

from pipeline.measurements_record import (
    ContactRecord,
    DuctRecord,
    GlandRecord,
    MeasuredLesionRecord,
    MeasurementsRecord,
)

CAPTION = "measured on the model's segmentation; not compared with radiologists' readings"
GLAND, DUCT, BILE_DUCT = "pancreas", "main pancreatic duct", "common bile duct"
COLUMNS = (
    "lesion",
    "candidate",
    "volume, ml",
    "axial diameter, mm",
    "part of the pancreas",
    "place from the head's end, mm",
    "thickness towards the tail, mm",
    "towards the head, mm",
    "vessel contact",
)
NOTHING = "&ndash;"


def measurements_html(measurements: MeasurementsRecord | None) -> str:
    """Returns a case's measurements as HTML; nothing where there are none.

    Args:
        measurements: of the case.
    """
    if measurements is None:
        return ""
    gland, duct, bile = measurements.gland, measurements.duct, measurements.bile_duct
    told = [
        *([] if gland is None else [_gland(gland)]),
        *([] if duct is None else [_duct(DUCT, duct)]),
        *([] if bile is None else [_duct(BILE_DUCT, bile)]),
    ]
    missing = [name for name, of in ((GLAND, gland), (DUCT, duct), (BILE_DUCT, bile)) if of is None]
    if missing:
        told.append(f"too little in the segmentation to measure: {', '.join(missing)}")
    told.append(f"labelled lesion: {measurements.lesion_ml:.2f} ml")
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in told)
    return (
        f'<p class="soft"><b>Measurements</b>: {html.escape(CAPTION)}.</p>'
        f'<ul class="quality">{items}</ul>{_lesions(measurements.lesions)}'
    )


def _gland(gland: GlandRecord) -> str:
    return (
        f"{GLAND}: {gland.volume_ml:.1f} ml, {gland.length_mm:.0f} mm along its centre line, median thickness"
        f" {gland.thickness_mm:.1f} mm"
    )


def _duct(name: str, duct: DuctRecord) -> str:
    dilated = "" if duct.dilated_mm is None else f", {duct.dilated_mm:.0f} mm of them wider than 3 mm"
    return (
        f"{name}: calibre at most {duct.largest_mm:.1f} mm, median {duct.median_mm:.1f} mm; {duct.length_mm:.0f} mm"
        f" show{dilated}"
    )


def _lesions(lesions: Iterable[MeasuredLesionRecord]) -> str:
    rows = [
        f"<tr><td>{lesion.number}</td><td>{NOTHING if lesion.candidate is None else lesion.candidate}</td>"
        f"{_number(lesion.volume_ml, 2)}{_number(lesion.diameter_mm)}"
        f"<td>{NOTHING if lesion.part is None else html.escape(lesion.part)}</td>{_number(lesion.position_mm)}"
        f"{_number(lesion.upstream_thickness_mm, 1)}{_number(lesion.downstream_thickness_mm, 1)}"
        f"<td>{_contacts(lesion.contact)}</td></tr>"
        for lesion in lesions
    ]
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _number(value: float | None, digits: int = 0) -> str:
    return f'<td class="number">{NOTHING if value is None else f"{value:.{digits}f}"}</td>'


def _contacts(contact: dict[str, ContactRecord]) -> str:
    """Returns which vessels a lesion touches, and which of those that show it does not."""
    touched = {name: each for name, each in contact.items() if each.length_mm > 0}
    told = [f"{name} {each.degrees:.0f}&deg; over {each.length_mm:.0f} mm" for name, each in _escaped(touched)]
    free = [name for name, _ in _escaped(contact) if name not in dict(_escaped(touched))]
    if free:
        told.append(f"none with: {', '.join(free)}")
    return "<br>".join(told) or "no vessel shows"


def _escaped(contact: dict[str, ContactRecord]) -> list[tuple[str, ContactRecord]]:
    return [(html.escape(name), each) for name, each in contact.items()]

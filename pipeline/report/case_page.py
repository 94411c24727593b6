"""The page of a case: the picture, how the score came about, what can be trusted, candidates, measurements."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from ctcore.durable import write_text
from ctcore.pages.pieces import banner, bar, facts, page, table, text
from pipeline.outputs import OutputFolder
from pipeline.records import DEMO_FLAG, FLAG_NO_PICTURE, CaseRecord
from pipeline.report.colours import ARTERIES, DETECTION, PANCREAS, ROI, VEINS
from pipeline.report.evidence import agreement_html, evidence_html
from pipeline.report.flag_words import sentence_of, unchecked_of
from pipeline.report.measurements import measurements_html

LEGEND = (
    (ROI, "region of interest (dashed)"),
    (PANCREAS, "pancreas"),
    (VEINS, "veins"),
    (ARTERIES, "arteries"),
    (DETECTION, "detection map (red low, yellow high confidence)"),
)
CAPTION = (
    "Planes through the strongest candidate, or else the pancreas, and axial slices through all of it with their height"
    " in LPS mm; soft-tissue window (level 40, width 400 HU). The patient is seen from the feet and from the front; of"
    " sagittal planes the front is on the left."
)


def write_case_page(output: OutputFolder, record: CaseRecord) -> None:
    """Writes the page of a case that is done.

    Args:
        output: where it goes.
        record: the case.
    """
    write_text(output.case_page_path(record.case_id), case_html(record))


def case_html(record: CaseRecord) -> str:
    """Returns the page of a case that is done.

    Args:
        record: the case; its picture lies beside the page, unless a flag says that it could not be drawn.
    """
    parts = [
        f'<p><a href="../index.html">All cases</a></p><h1>{text(record.case_id)}</h1>',
        f'<p class="soft">{text(record.image)}</p>',
        banner(record.notice),
        _picture(record),
        "<h2>How the score came about</h2>",
        _score(record),
        *_section("Classifier, detection map and folds", agreement_html(record)),
        *_section("What the classifier draws its answer from", evidence_html(record)),
        "<h2>How far it can be trusted</h2>",
        _quality(record),
        "<h2>Lesion candidates</h2>",
        _candidates(record),
        *_section("Measurements", measurements_html(record.measurements)),
        "<h2>How it was computed</h2>",
        _made(record),
    ]
    return page(f"{record.case_id}: pancreatic lesion report", "\n".join(parts))


def _section(title: str, html: str) -> tuple[str, ...]:
    """Returns a part of the page with its title; nothing where it is empty."""
    return (f"<h2>{text(title)}</h2>", html) if html else ()


def _picture(record: CaseRecord) -> str:
    if FLAG_NO_PICTURE in record.flags:
        return '<p class="soft">The picture could not be drawn.</p>'
    source = text(quote(f"{record.case_id}.png"))
    legend = "".join(f'<i style="background:{colour}"></i>{name}' for colour, name in LEGEND)
    return (
        f'<figure><img src="{source}" alt="{text(record.case_id)} in three planes, and slices through what is shown">'
        f'<figcaption>{CAPTION}<br><span class="legend">{legend}</span></figcaption></figure>'
    )


def _score(record: CaseRecord) -> str:
    """Returns every term of the score, and what became of them."""
    rows = [(f"probability of {name} (classifier)", bar(value)) for name, value in record.classes.items()]
    if record.detection_max is not None:
        rows.append(("maximum of the detection map", bar(record.detection_max)))
    if record.fusion is not None:
        rows += [(f"term {name}", f"{value:.4f}") for name, value in record.fusion.terms.items()]
        rows.append(("rule that joins them", text(record.fusion.rule)))
    rows.append(("score", bar(record.score)))
    if len(record.scores) > 2:
        rows += [(f"score of {name}{_origin(record)}", bar(value)) for name, value in record.scores.items()]
    if record.label is not None:
        rows.append(("class of the highest score", text(record.label)))
    for name, reached in record.operating_points.items():
        rows.append((f"operating point {name}", "at or above" if reached else "below"))
    if record.calibrated_probability is not None:
        share = f"{100 * record.calibrated_probability:.0f} % of validation cases at this score were positive"
        rows.append(("calibration", share))
    return table(("term", "value"), (f"<td>{text(name)}</td><td>{value}</td>" for name, value in rows))


def _origin(record: CaseRecord) -> str:
    """Returns whether the lesion classes were told apart by their detection maps."""
    by_class = record.fusion is not None and record.fusion.lesion_maps == "by_class"
    return " (each with its own detection map)" if by_class else " (one detection map for all lesion classes)"


def _quality(record: CaseRecord) -> str:
    """Returns what is known of how far a case can be trusted, in sentences."""
    told = [sentence_of(flag, record.quality) for flag in record.flags if flag != DEMO_FLAG]
    unchecked = unchecked_of(record)
    if unchecked:
        told.append(f"not checked: {unchecked}")
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in told)
    return f'<ul class="quality">{items}</ul>' if items else '<p class="soft">Nothing was found against it.</p>'


def _candidates(record: CaseRecord) -> str:
    if not record.candidates:
        return '<p class="soft">No lesion candidate.</p>'
    classified = any("class_name" in candidate for candidate in record.candidates)
    rows = []
    for number, candidate in enumerate(record.candidates, start=1):
        name = f"<td>{text(candidate.get('class_name', ''))}</td>" if classified else ""
        centroid = ", ".join(f"{v:.0f}" for v in candidate["centroid_lps_mm"])
        rows.append(
            f"<td>{number}</td>{name}<td>{bar(candidate['confidence'])}</td>"
            f'<td class="number">{candidate["volume_ml"]:.2f}</td>'
            f'<td class="number">{candidate["diameter_mm"]:.0f}</td><td>{centroid}</td>'
        )
    first = ("candidate", "class") if classified else ("candidate",)
    return table((*first, "confidence", "volume, ml", "axial diameter, mm", "centre, LPS mm"), rows)


def _made(record: CaseRecord) -> str:
    rows: list[tuple[str, object]] = []
    if record.roi is not None:
        rows.append(("region of interest", f"by {record.roi.source}"))
    if record.pancreas_ml is not None:
        rows.append(("pancreas that stage 1 found", f"{record.pancreas_ml:.0f} ml"))
    if record.effort is not None:
        rows.append(("computed", _listed(record.effort.model_dump())))
    if record.seconds:
        rows.append(("seconds", _listed(record.seconds)))
    if record.made_with is not None:
        rows.append(("made with", _listed(record.made_with.model_dump(exclude={"bundle"}))))
        rows.append(("bundle SHA-256", record.made_with.bundle))
    return facts(rows)


def _listed(values: Mapping[str, object]) -> str:
    shown = {k: f"{v:.2f}" if isinstance(v, float) else v for k, v in values.items() if v is not None}
    return ", ".join(f"{name} {value}" for name, value in shown.items())

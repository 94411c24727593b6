"""The report's page: the run in short, every case in a table, a picture of each; one HTML file without scripts."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ctcore.files import write_text
from pipeline.outputs import OutputFolder
from pipeline.records import DEMO_FLAG, CaseRecord
from pipeline.report.flag_words import sentence_of, unchecked_of, words_of
from pipeline.report.measurements import measurements_html
from pipeline.run_record import RunRecord

_STYLE = """
:root { --ink: #16202b; --soft: #5b6876; --line: #dde3ea; --page: #f5f7f9; --bar: #d9480f; --card: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 10px; } h3 { font-size: 16px; margin: 0; }
p { margin: 4px 0; } .soft { color: var(--soft); } code { font-size: 13px; overflow-wrap: anywhere; }
.banner { background: #fff3bf; border: 1px solid #f08c00; border-radius: 8px; padding: 12px 16px; margin: 18px 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px;
  min-width: 120px; }
.tile b { display: block; font-size: 22px; } .tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 7px 12px; text-align: left; vertical-align: middle; }
th { font-size: 13px; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
tr + tr td { border-top: 1px solid var(--line); } td.number { font-variant-numeric: tabular-nums; text-align: right; }
.bar { display: inline-block; width: 110px; height: 9px; border-radius: 5px; background: #e9edf2; margin-right: 8px; }
.bar i { display: block; height: 100%; border-radius: 5px; background: var(--bar); }
.flag { display: inline-block; font-size: 12px; padding: 1px 8px; border-radius: 10px; background: #e7f0fb;
  margin: 1px; }
.quality { margin: 6px 0; padding-left: 20px; font-size: 14px; }
.failed { color: #c92a2a; font-weight: 600; }
.case { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 14px 0;
  padding: 14px 16px; }
.case img { display: block; width: 100%; border-radius: 6px; margin: 10px 0; background: #0b0f14; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 5px 0 14px; }
a { color: #1864ab; }
"""

_LEGEND = (
    '<p class="soft legend">Axial slice in a soft-tissue window (level 40, width 400 HU); the patient is seen'
    ' from the feet.<i style="background:#4ea1ff"></i>region of interest<i style="background:#37d67a"></i>pancreas'
    '<i style="background:#ff8c00"></i>detection map (red low, yellow high confidence)</p>'
)


def write_report(output: OutputFolder, run: RunRecord, records: Sequence[CaseRecord]) -> None:
    """Writes `report/index.html`.

    Args:
        output: where the run's files lie; pictures that are there are shown.
        run: the run.
        records: its cases.
    """
    pictures = {record.case_id for record in records if output.picture_path(record.case_id).is_file()}
    write_text(output.report_folder / "index.html", report_html(run, records, pictures))


def report_html(run: RunRecord, records: Sequence[CaseRecord], pictures: set[str]) -> str:
    """Returns the page.

    Args:
        run: the run.
        records: its cases; those done are shown from the highest score to the lowest, those failed after them.
        pictures: ids of the cases that have a picture.
    """
    # Places of the records, not records: those of a large run stay packed.
    ranked = sorted((-(r.score or 0.0), r.case_id, place) for place, r in enumerate(records) if r.status == "done")
    done = [place for *_, place in ranked]
    failed = [place for place, record in enumerate(records) if record.status == "failed"]
    banner = f'<div class="banner"><b>Warning:</b> {_text(run.notice)}.</div>' if run.notice else ""
    incomplete = "" if run.complete else '<div class="banner">The run was interrupted: some cases are missing.</div>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pancreatic lesion report: {_text(run.input)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Pancreatic lesion report</h1>
<p class="soft">{_text(run.input)}{"" if run.started is None else f" &middot; {_text(run.started)}"}</p>
{banner}{incomplete}
{_tiles(run, len(done), len(failed))}
<h2>Cases</h2>
{_table(records[place] for place in (*done, *failed))}
{"<h2>Pictures</h2>" + _LEGEND if done else ""}
{"".join(_case(record, record.case_id in pictures) for record in (records[place] for place in done))}
<h2>How it was made</h2>
{_made(run)}
</main>
</body>
</html>
"""


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _anchor(case_id: str) -> str:
    """Returns an id for HTML that a case id of any characters can be linked by."""
    return "case-" + quote(case_id, safe="")


def _tiles(run: RunRecord, done: int, failed: int) -> str:
    tiles = [("cases done", str(done)), ("failed", str(failed))]
    if run.wall_seconds is not None:
        reused = sum(case.reused is True for case in run.cases)
        tiles += [("kept from earlier", str(reused)), ("this run", f"{run.wall_seconds:.1f} s")]
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{b}</b><span>{s}</span></div>' for s, b in tiles)
        + "</div>"
    )


def _bar(score: float | None) -> str:
    if score is None:
        return ""
    width = 100 * min(max(score, 0.0), 1.0)
    return f'<span class="bar"><i style="width:{width:.1f}%"></i></span>{score:.3f}'


def _flags(record: CaseRecord) -> str:
    """Returns a case's flags in words; pointed at, they tell their name."""
    return " ".join(f'<span class="flag" title="{_text(flag)}">{_text(words_of(flag))}</span>' for flag in record.flags)


def _quality(record: CaseRecord) -> str:
    """Returns what is known of how far a case can be trusted, in sentences; nothing where there is nothing to say."""
    told = [sentence_of(flag, record.quality) for flag in record.flags if flag != DEMO_FLAG]
    unchecked = unchecked_of(record)
    if unchecked:
        told.append(f"not checked: {unchecked}")
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in told)
    return f'<ul class="quality">{items}</ul>' if items else ""


def _table(records: Iterable[CaseRecord]) -> str:
    rows = []
    for record in records:
        if record.status == "failed":
            rows.append(
                f'<tr><td>{_text(record.case_id)}</td><td class="failed">failed</td>'
                f'<td colspan="3">{_text(record.error)}</td><td>{_flags(record)}</td>'
                f'<td class="number">{_seconds(record)}</td></tr>'
            )
            continue
        rows.append(
            f'<tr><td><a href="#{_text(quote(_anchor(record.case_id)))}">{_text(record.case_id)}</a></td>'
            f"<td>{_bar(record.score)}</td><td>{_text(record.label)}</td>"
            f'<td class="number">{record.detection_max or 0.0:.3f}</td>'
            f'<td class="number">{len(record.candidates)}</td><td>{_flags(record)}</td>'
            f'<td class="number">{_seconds(record)}</td></tr>'
        )
    head = "".join(f"<th>{h}</th>" for h in ("case", "score", "class", "map maximum", "candidates", "flags", "seconds"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _seconds(record: CaseRecord) -> str:
    return f"{record.total_seconds:.1f}" if record.seconds else ""


def _case(record: CaseRecord, has_picture: bool) -> str:
    name = _text(record.case_id)
    source = _text(quote(f"cases/{record.case_id}.png"))
    picture = (
        f'<img src="{source}" alt="axial slice of {name}" loading="lazy">'
        if has_picture
        else '<p class="soft">No picture: this case was computed with --no-report.</p>'
    )
    classes = f" &middot; probabilities: {_by_class(record.classes)}" if record.classes else ""
    points = [f"{'at or above' if hit else 'below'} {_text(name)}" for name, hit in record.operating_points.items()]
    calibrated = f" &middot; operating points: {', '.join(points)}" if points else ""
    rule = _text(record.fusion.rule) if record.fusion else ""
    scores = f" &middot; scores: {_by_class(record.scores)}{_origin(record)}" if len(record.scores) > 2 else ""
    pancreas = "" if record.pancreas_ml is None else f" &middot; pancreas {record.pancreas_ml:.0f} ml"
    roi = f" &middot; ROI by {_text(record.roi.source)}" if record.roi else ""
    return (
        f'<section class="case" id="{_text(_anchor(record.case_id))}"><h3>{name}</h3>'
        f'<p class="soft">score {record.score or 0.0:.3f} ({rule}){classes}'
        f"{scores}{calibrated}{pancreas}{roi}</p>"
        f"{_quality(record)}{picture}{_candidates(record)}{measurements_html(record.measurements)}</section>"
    )


def _by_class(values: Mapping[str, float]) -> str:
    return ", ".join(f"{_text(name)} {value:.3f}" for name, value in values.items())


def _origin(record: CaseRecord) -> str:
    """Returns whether the lesion classes were told apart by their detection maps."""
    by_class = record.fusion is not None and record.fusion.lesion_maps == "by_class"
    return " (each with its own detection map)" if by_class else " (one detection map for all lesion classes)"


def _candidates(record: CaseRecord) -> str:
    if not record.candidates:
        return '<p class="soft">No lesion candidate.</p>'
    rows = []
    classified = any("class_name" in candidate for candidate in record.candidates)
    for number, candidate in enumerate(record.candidates, start=1):
        name = f"<td>{_text(candidate.get('class_name', ''))}</td>" if classified else ""
        centroid = ", ".join(f"{v:.0f}" for v in candidate["centroid_lps_mm"])
        rows.append(
            f"<tr><td>{number}</td>{name}<td>{_bar(candidate['confidence'])}</td>"
            f'<td class="number">{candidate["volume_ml"]:.2f}</td>'
            f'<td class="number">{candidate["diameter_mm"]:.0f}</td><td>{centroid}</td></tr>'
        )
    head = "<th>candidate</th>" + "<th>class</th>" * classified
    head += "<th>confidence</th><th>volume, ml</th><th>axial diameter, mm</th><th>centre, LPS mm</th>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _made(run: RunRecord) -> str:
    bundle = run.bundle
    rows = [
        ("bundle", f"{bundle['name']}, version {bundle['version']}"),
        ("bundle SHA-256", bundle["sha256"]),
        ("computed on", ", ".join(f"{key} {value}" for key, value in run.execution.items() if value is not None)),
        (
            "options",
            ", ".join(f"{key} {value}" for key, value in run.options.model_dump().items() if value is not None),
        ),
        ("seconds by phase", ", ".join(f"{key} {value:.1f}" for key, value in run.phase_seconds.items())),
        ("versions", ", ".join(f"{key} {value}" for key, value in run.versions.items())),
    ]
    body = "".join(f"<tr><th>{_text(k)}</th><td><code>{_text(v)}</code></td></tr>" for k, v in rows)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>'

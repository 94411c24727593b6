"""The cohort's page: the run in short, every case in a table that sorts and filters, how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from ctcore.pages.pieces import banner, bar, facts, page, table, text, tiles
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord
from pipeline.report.flag_words import words_of
from pipeline.report.histogram import histogram
from pipeline.report.pieces import flags_of, script
from pipeline.run_record import RunRecord

TITLE = "Pancreatic lesion report"
COLUMNS = (
    ("case", "text"),
    ("score", "number"),
    ("class", "text"),
    ("map maximum", "number"),
    ("candidates", "number"),
    ("main lesion, mm", "number"),
    ("flags, or why it failed", "text"),
    ("seconds", "number"),
)


def write_report(output: OutputFolder, run: RunRecord, records: Sequence[CaseRecord]) -> None:
    """Writes `report/index.html`.

    Args:
        output: where the run's files lie; cases with a page there are linked to it.
        run: the run.
        records: its cases.
    """
    pages = output.with_page(record.case_id for record in records)
    output.write_text(output.index_path, report_html(run, records, pages))


def report_html(run: RunRecord, records: Sequence[CaseRecord], pages: set[str]) -> str:
    """Returns the page.

    Args:
        run: the run.
        records: its cases; those done are shown from the highest score to the lowest, those failed after them.
        pages: ids of the cases that have a page.
    """
    # Places of the records, not records: those of a large run stay packed.
    ranked = sorted((-(r.score or 0.0), r.case_id, place) for place, r in enumerate(records) if r.status == "done")
    done = [place for *_, place in ranked]
    failed = [place for place, record in enumerate(records) if record.status == "failed"]
    flags = sorted({flag for record in records for flag in record.flags})
    started = "" if run.started is None else f" &middot; {text(run.started)}"
    incomplete = "" if run.complete else '<div class="banner">The run was interrupted: some cases are missing.</div>'
    parts = [
        f'<h1>{TITLE}</h1><p class="soft">{text(run.input)}{started}</p>',
        banner(run.notice) + incomplete,
        _tiles(run, len(done), len(failed)),
        _scores([-score for score, *_ in ranked], run),
        "<h2>Cases</h2>",
        _filters(flags),
        _cases((records[place] for place in (*done, *failed)), pages),
        _operating_points(run),
        "<h2>How it was made</h2>",
        _made(run),
    ]
    return page(f"{TITLE}: {run.input}", "\n".join(parts), script=script("cohort.js"))


def _tiles(run: RunRecord, done: int, failed: int) -> str:
    rows = [("cases done", str(done)), ("failed", str(failed))]
    if run.wall_seconds is not None:
        reused = sum(case.reused is True for case in run.cases)
        rows += [("kept from earlier", str(reused)), ("this run", f"{run.wall_seconds:.1f} s")]
    return tiles(rows)


def _scores(scores: Sequence[float], run: RunRecord) -> str:
    drawing = histogram(scores, run.operating_points)
    marked = "; dashed: thresholds of the operating points" if run.operating_points else ""
    caption = f"Scores of the cases done{marked}."
    return f"<h2>Scores</h2><figure>{drawing}<figcaption>{caption}</figcaption></figure>" if drawing else ""


def _filters(flags: Sequence[str]) -> str:
    options = "".join(f'<option value="{text(flag)}">{text(words_of(flag))}</option>' for flag in flags)
    return (
        '<div class="filters" role="search">'
        '<label>Case<input id="filter-name" type="search" autocomplete="off"></label>'
        '<label>Status<select id="filter-status"><option value="">all</option><option value="done">done</option>'
        '<option value="failed">failed</option></select></label>'
        f'<label>Flag<select id="filter-flag"><option value="">any or none</option>{options}</select></label>'
        '<label>Score at least<input id="filter-score" type="number" min="0" max="1" step="0.01"></label>'
        '<span id="shown" role="status" aria-live="polite"></span></div>'
    )


def _cases(records: Iterable[CaseRecord], pages: set[str]) -> str:
    rows = []
    for record in records:
        name, flags = text(record.case_id), " ".join(record.flags)
        score = "" if record.score is None else repr(record.score)
        rows.append(
            f'<tr data-name="{text(record.case_id.lower())}" data-status="{record.status}" data-score="{score}"'
            f' data-flags="{text(flags)}">'
            f'<th scope="row">{_link(record.case_id, name) if record.case_id in pages else name}</th>'
            + (_failed(record) if record.status == "failed" else _done(record))
            + f'<td class="number">{f"{record.total_seconds:.1f}" if record.seconds else ""}</td></tr>'
        )
    head = "".join(
        f'<th scope="col" data-kind="{kind}"{_sorted(name)}><button type="button">{text(name)}</button></th>'
        for name, kind in COLUMNS
    )
    return (
        '<div class="scroll" tabindex="0"><table id="cases"><caption>Headers sort; a case opens its own page.</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _sorted(name: str) -> str:
    return ' aria-sort="descending"' if name == "score" else ""


def _link(case_id: str, name: str) -> str:
    return f'<a href="{text(quote(f"cases/{case_id}.html"))}">{name}</a>'


def _done(record: CaseRecord) -> str:
    lesion = record.measurements.main_lesion if record.measurements else None
    diameter = "" if lesion is None else f"{lesion.diameter_mm:.0f}"
    maximum = record.detection_max or 0.0
    return (
        f'<td data-value="{record.score!r}">{bar(record.score)}</td><td>{text(record.label or "")}</td>'
        f'<td class="number">{maximum:.3f}</td><td class="number">{len(record.candidates)}</td>'
        f'<td class="number">{diameter}</td><td class="words">{flags_of(record)}</td>'
    )


def _failed(record: CaseRecord) -> str:
    return (
        '<td class="failed" data-value="">failed</td><td></td><td></td><td></td><td></td>'
        f'<td class="words">{text(record.error)} {flags_of(record)}</td>'
    )


def _operating_points(run: RunRecord) -> str:
    """Returns what the bundle was calibrated to; nothing of a bundle that was not."""
    if not run.operating_points:
        return ""
    rows = [
        f"<td>{text(point.name)}</td>"
        + "".join(f'<td class="number">{v:.3f}</td>' for v in (point.threshold, point.sensitivity, point.specificity))
        for point in run.operating_points
    ]
    caption = f"Chosen on {run.calibrated_on}; sensitivity and specificity are of these cases."
    columns = ("asked for", "score at least", "sensitivity", "specificity")
    return f"<h2>Operating points</h2>{table(columns, rows, caption)}"


def _made(run: RunRecord) -> str:
    bundle, options = run.bundle, run.options.model_dump()
    return facts(
        [
            ("bundle", f"{bundle['name']}, version {bundle['version']}"),
            ("bundle SHA-256", bundle["sha256"]),
            ("computed on", ", ".join(f"{key} {value}" for key, value in run.execution.items() if value is not None)),
            ("options", ", ".join(f"{key} {value}" for key, value in options.items() if value is not None)),
            ("seconds by phase", ", ".join(f"{key} {value:.1f}" for key, value in run.phase_seconds.items())),
            ("versions", ", ".join(f"{key} {value}" for key, value in run.versions.items())),
        ]
    )

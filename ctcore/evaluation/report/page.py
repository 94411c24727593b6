"""The page of an evaluation: its figures in tables, its pictures, what a reader must know; one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ctcore.pages.pieces import page, table, text, tiles

Row = tuple[str, ...]


SECTIONS = (
    ("patients", "Patients"),
    ("lesions", "Lesions"),
    ("overlap_sweep", "AP by the smallest overlap of a hit"),
    ("calibration", "Calibration"),
    ("classification", "Classification"),
    ("segmentation", "Segmentation"),
)
"""Parts of `metrics.json` that hold estimates, however deep, with their headings."""

FILES = ("metrics.json", "per_case.csv", "per_lesion.csv")


def evaluation_page(
    metrics: Mapping[str, Any],
    plots: Sequence[str],
    title: str,
    *,
    sections: Sequence[tuple[str, str]] = SECTIONS,
    tables: Sequence[str] = FILES,
    pictures: Sequence[str] = (),
) -> str:
    """Returns the page.

    Args:
        metrics: content of `metrics.json`.
        plots: stems of the pictures in `plots/`.
        title: what was evaluated.
        sections: the parts of `metrics` to show as tables, with their headings.
        tables: files beside the page, for further work.
        pictures: images beside the page, shown in full width.
    """
    counts, settings = metrics["counts"], metrics["settings"]
    warnings = "".join(f'<div class="banner">{text(warning)}</div>' for warning in metrics["warnings"])
    first = [
        ("AUROC, patients", _number(metrics["auroc"])),
        ("AP, lesions", _number(metrics["ap"])),
        ("cases", str(counts["cases"])),
        ("positive", str(counts["positive"])),
        ("lesions", str(counts["lesions"])),
        ("hit", str(counts["hits"])),
    ]
    shown = "".join(f'<a href="plots/{_url(p)}.png"><img src="plots/{_url(p)}.svg" alt="{text(p)}"></a>' for p in plots)
    wide = "".join(f'<p><a href="{_url(p)}"><img src="{_url(p)}" alt="{text(p)}"></a></p>' for p in pictures)
    links = ", ".join(f'<a href="{_url(name)}">{text(name)}</a>' for name in tables)
    body = f"""<h1>Evaluation</h1>
<p class="soft">{text(title)}</p>
{warnings}
{tiles(first)}
<div class="plots">{shown}</div>
{wide}
{"".join(_section(heading, metrics.get(key)) for key, heading in sections)}
{_strata("Strata", metrics.get("strata") or [])}
{_strata("Without one stratum at a time", metrics.get("leave_one_out") or [])}
<h2>Counts</h2>
{_table(("what", "number"), [(key.replace("_", " "), str(value)) for key, value in counts.items()])}
<h2>Settings</h2>
{_table(("setting", "value"), [(key.replace("_", " "), str(value)) for key, value in settings.items()])}
<p class="soft">For further work: {links}. Intervals are 95 %.</p>"""
    return page(f"Evaluation: {title}", body)


def _section(heading: str, part: Any) -> str:
    """Returns a table of all estimates within a part."""
    rows = [(name, _value(estimate), _interval(estimate)) for name, estimate in _estimates(part, "")]
    if not rows:
        return ""
    return f"<h2>{text(heading)}</h2>" + _table(("measure", "value", "95 % interval"), rows)


def _estimates(part: Any, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the estimates within a part, named by the way to them."""
    if not isinstance(part, Mapping):
        return []
    if set(part) >= {"value", "ci95"}:
        return [(name, part)]
    found = []
    for key, value in part.items():
        found += _estimates(value, f"{name}, {key.replace('_', ' ')}" if name else key.replace("_", " "))
    return found


def _strata(heading: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table of strata."""
    if not rows:
        return ""
    columns = ("column", "stratum", "cases", "positive", "AUROC", "", "AP", "")
    body = [
        (
            row["column"],
            row["stratum"],
            str(row["cases"]),
            str(row["positive"]),
            _value(row["auroc"]),
            _interval(row["auroc"]),
            _value(row["ap"]),
            _interval(row["ap"]),
        )
        for row in rows
    ]
    return f"<h2>{text(heading)}</h2>" + _table(columns, body)


def _table(head: Row, rows: Sequence[Row]) -> str:
    """Returns a table of plain text."""
    return table(head, ("".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows))


def _number(estimate: Mapping[str, Any]) -> str:
    """Returns a value with its interval for a tile."""
    interval = _interval(estimate)
    return _value(estimate) + (f' <span class="soft">({interval})</span>' if interval else "")


def _value(estimate: Mapping[str, Any]) -> str:
    return "undefined" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _interval(estimate: Mapping[str, Any]) -> str:
    interval = estimate["ci95"]
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _url(path: str) -> str:
    return text(quote(path))

"""The page of an evaluation: its figures in tables, its pictures, what a reader must know; one HTML file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_STYLE = """
:root { --ink: #16202b; --soft: #5b6876; --line: #dde3ea; --page: #f5f7f9; --card: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 10px; }
p { margin: 4px 0; } .soft { color: var(--soft); } code { font-size: 13px; overflow-wrap: anywhere; }
.banner { background: #fff3bf; border: 1px solid #f08c00; border-radius: 8px; padding: 10px 16px; margin: 10px 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; }
.tile b { display: block; font-size: 22px; } .tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 6px 12px; text-align: left; } th { font-size: 13px; color: var(--soft); font-weight: 600; }
tr + tr td, tbody tr:first-child td { border-top: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; text-align: right; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 14px; }
img.wide { max-width: 100%; border-radius: 8px; }
.plots img { width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
"""

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
    warnings = "".join(f'<div class="banner">{_text(warning)}</div>' for warning in metrics["warnings"])
    tiles = [
        ("AUROC, patients", _number(metrics["auroc"])),
        ("AP, lesions", _number(metrics["ap"])),
        ("cases", str(counts["cases"])),
        ("positive", str(counts["positive"])),
        ("lesions", str(counts["lesions"])),
        ("hit", str(counts["hits"])),
    ]
    shown = "".join(
        f'<a href="plots/{_url(p)}.png"><img src="plots/{_url(p)}.svg" alt="{_text(p)}"></a>' for p in plots
    )
    wide = "".join(
        f'<p><a href="{_url(p)}"><img class="wide" src="{_url(p)}" alt="{_text(p)}"></a></p>' for p in pictures
    )
    links = ", ".join(f'<a href="{_url(name)}">{_text(name)}</a>' for name in tables)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation: {_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Evaluation</h1>
<p class="soft">{_text(title)}</p>
{warnings}
<div class="tiles">{"".join(f'<div class="tile"><b>{b}</b><span>{s}</span></div>' for s, b in tiles)}</div>
<div class="plots">{shown}</div>
{wide}
{"".join(_section(heading, metrics.get(key)) for key, heading in sections)}
{_strata("Strata", metrics.get("strata") or [])}
{_strata("Without one stratum at a time", metrics.get("leave_one_out") or [])}
<h2>Counts</h2>
{_table(("what", "number"), [(key.replace("_", " "), str(value)) for key, value in counts.items()])}
<h2>Settings</h2>
{_table(("setting", "value"), [(key.replace("_", " "), str(value)) for key, value in settings.items()])}
<p class="soft">For further work: {links}. Intervals are 95 %.</p>
</main>
</body>
</html>
"""


def _section(heading: str, part: Any) -> str:
    """Returns a table of all estimates within a part."""
    rows = [(name, _value(estimate), _interval(estimate)) for name, estimate in _estimates(part, "")]
    if not rows:
        return ""
    return f"<h2>{_text(heading)}</h2>" + _table(("measure", "value", "95 % interval"), rows)


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
    return f"<h2>{_text(heading)}</h2>" + _table(columns, body)


def _table(head: Row, rows: Sequence[Row]) -> str:
    """Returns a table; cells that are numbers are set to the right."""
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(estimate: Mapping[str, Any]) -> str:
    """Returns a value with its interval for a tile."""
    interval = _interval(estimate)
    return _value(estimate) + (f' <span class="soft">({interval})</span>' if interval else "")


def _value(estimate: Mapping[str, Any]) -> str:
    return "undefined" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _interval(estimate: Mapping[str, Any]) -> str:
    interval = estimate["ci95"]
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _url(path: str) -> str:
    return html.escape(quote(path), quote=True)


def _picture(path: str, name: str, *, link: str, kind: str = "") -> str:
    """Returns a picture that leads to a file."""
    shown = f' class="{kind}"' if kind else ""
    return f'<a href="{_url(link)}"><img{shown} src="{_url(path)}" alt="{_text(name)}"></a>'

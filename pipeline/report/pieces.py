"""Pieces that the report's pages share: the frame of a page, escaped text, bars, flags."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from pipeline.records import CaseRecord
from pipeline.report.flag_words import words_of


def text(value: Any) -> str:
    """Returns a value as HTML shows it, whatever characters it has."""
    return html.escape(str(value), quote=True)


def page(title: str, body: str, script: str = "") -> str:
    """Returns a whole page: dark as reading rooms are, light on paper, without any request to anywhere.

    Args:
        title: of the window; plain text.
        body: HTML of what it shows.
        script: name of the package's file that it runs; no other script can run.
    """
    style, code = _read("style.css"), _read(script) if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = f" script-src 'sha256-{digest}';" if code else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline';{allowed}">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
{f"<script>{code}</script>" if code else ""}
</body>
</html>
"""


def _read(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def banner(notice: str | None) -> str:
    """Returns what the model is not, for a reader to see first."""
    return f'<div class="banner" role="note"><b>Warning:</b> {text(notice)}.</div>' if notice else ""


def bar(score: float | None) -> str:
    """Returns a number between 0 and 1 with a bar of its length."""
    if score is None:
        return ""
    width = 100 * min(max(score, 0.0), 1.0)
    return f'<span class="bar" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>{score:.3f}'


def flags_of(record: CaseRecord) -> str:
    """Returns a case's flags in words; pointed at, they tell their name."""
    return " ".join(f'<span class="flag" title="{text(flag)}">{text(words_of(flag))}</span>' for flag in record.flags)


def facts(rows: Iterable[tuple[str, Any]], caption: str = "") -> str:
    """Returns a table of names and values."""
    body = "".join(f'<tr><th scope="row">{text(k)}</th><td><code>{text(v)}</code></td></tr>' for k, v in rows)
    return f'<div class="scroll" tabindex="0"><table>{_caption(caption)}<tbody>{body}</tbody></table></div>'


def table(columns: Sequence[str], rows: Iterable[str], caption: str = "") -> str:
    """Returns a table.

    Args:
        columns: their names; plain text.
        rows: HTML of the cells of each row.
        caption: what it shows; plain text.
    """
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table>{_caption(caption)}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _caption(words: str) -> str:
    return f"<caption>{text(words)}</caption>" if words else ""

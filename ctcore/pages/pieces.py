"""Pieces that all pages share: the frame of a page, escaped text, warnings, bars, tables."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any


def text(value: Any) -> str:
    """Returns a value as HTML shows it, whatever characters it has."""
    return html.escape(str(value), quote=True)


def page(title: str, body: str, script: str = "") -> str:
    """Returns a whole page: dark as reading rooms are, light on paper, without any request to anywhere.

    Args:
        title: of the window; plain text.
        body: HTML of what it shows.
        script: code that it runs; no other can run.
    """
    style = resources.files("ctcore.pages").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f" script-src 'sha256-{digest}';" if script else ""
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
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def banner(notice: str | None) -> str:
    """Returns what the model is not, for a reader to see first."""
    return f'<div class="banner" role="note"><b>Warning:</b> {text(notice)}.</div>' if notice else ""


def bar(score: float | None) -> str:
    """Returns a number between 0 and 1 with a bar of its length."""
    if score is None:
        return ""
    width = 100 * min(max(score, 0.0), 1.0)
    return f'<span class="bar" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>{score:.3f}'


def tiles(rows: Iterable[tuple[str, str]]) -> str:
    """Returns the figures that a page begins with.

    Args:
        rows: what each is, as plain text, and its HTML.
    """
    shown = "".join(f'<div class="tile"><b>{value}</b><span>{text(name)}</span></div>' for name, value in rows)
    return f'<div class="tiles">{shown}</div>'


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

"""The frame of all pages asks nobody for anything, and shows text as text."""

from __future__ import annotations

import re

from ctcore.pages.pieces import facts, page, table, tiles

HOSTILE = "</title><script>alert(1)</script>"


def test_a_page_without_script() -> None:
    html = page(HOSTILE, "<p>body</p>")
    assert "<script" not in html
    assert "script-src" not in html
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|@import|url\(|src=", html)
    assert "<main>\n<p>body</p>\n</main>" in html
    assert "@media print" in html
    assert "color-scheme: dark" in html


def test_pieces_escape() -> None:
    html = tiles([(HOSTILE, "1 &lt; 2")]) + facts([(HOSTILE, HOSTILE)], HOSTILE) + table([HOSTILE], [], HOSTILE)
    assert "<script" not in html
    assert "<b>1 &lt; 2</b>" in html

"""Pages of the documentation, as tests follow them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """Returns the code blocks of a page in one language, in order."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def lines(page: str, language: str) -> list[str]:
    """Returns the lines of these blocks."""
    return [line for block in blocks(page, language) for line in block.splitlines() if line.strip()]


def broken_links(page: str) -> list[str]:
    """Returns the links of a page to files, or to titles in them, that are not there."""
    links = re.findall(r"\]\(([^)#]+?)(?:#([^)]*))?\)", (ROOT / "docs" / page).read_text())
    return [f"{t}#{title}" for t, title in links if not t.startswith("https://") and not _is_there(t, title)]


def _is_there(target: str, title: str) -> bool:
    path = ROOT / "docs" / target
    if not path.is_file() or not title:
        return path.is_file()
    titles = re.findall(r"^#+ (.*)", path.read_text(), flags=re.MULTILINE)
    return title in [re.sub(r"[^\w -]", "", found).lower().replace(" ", "-") for found in titles]

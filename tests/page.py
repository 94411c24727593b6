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
    """Returns the links of a page to files that are not there."""
    text = (ROOT / "docs" / page).read_text()
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    return [t for t in targets if not t.startswith("https://") and not (ROOT / "docs" / t).is_file()]

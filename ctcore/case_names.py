"""Names of cases that come from files: which can be read, and which are the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from ctcore.files import case_id_of
from ctcore.text import safe_id

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that break lines or are no characters: control characters, undecodable bytes, line ends."""


def is_text(path: Path) -> bool:
    """Tells whether a path is text: ITK ends the process at one that is not."""
    return not any(unicodedata.category(character) == "Cs" for character in str(path))


def why_not_named(path: Path) -> str | None:
    """Returns what is wrong with a file's name, or None."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in path.name):
        return "has control characters or bytes that are no text in its name"
    return None


def case_id_from(path: Path, suffix: str | None = None) -> str:
    """Returns the case id that a file name stands for.

    Args:
        path: the file.
        suffix: of its name, where that is no image's.
    """
    return case_id_of(path) if suffix is None else safe_id(path.name[: -len(suffix)])


def same_name(case_id: str) -> str:
    """Returns what two case ids have in common that some file system takes for the same: Unicode's forms, and case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", case_id).casefold())

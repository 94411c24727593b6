"""Names of cases that come from files: which can be written everywhere, and which are the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

from ctcore.files import case_id_of

LONGEST_BYTES = 240
"""Longest case id, in UTF-8; file systems allow 255 bytes, suffixes of results take some."""

_KEPT_BYTES = 100
"""What is kept of a longer one."""

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that break lines or are no characters: control characters, undecodable bytes, line ends."""


def is_text(path: Path) -> bool:
    """Tells whether a path is text: ITK ends the process at one that is not."""
    return not any(unicodedata.category(character) == "Cs" for character in str(path))


def why_not_named(path: Path) -> str | None:
    """Returns what is wrong with a file's name, or None."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in path.name):
        return "has control characters or bytes that are no text in its name"
    size = len(case_id_of(path).encode())
    return f"has a name of {size} bytes, longer than {LONGEST_BYTES}" if size > LONGEST_BYTES else None


def case_id_from(path: Path, suffix: str | None = None) -> str:
    """Returns the case id that a file name stands for, printable and short enough to be written.

    Args:
        path: the file.
        suffix: of its name, where that is no image's.
    """
    case_id = case_id_of(path) if suffix is None else path.name[: -len(suffix)]
    printable = "".join(
        quote(c.encode(errors="surrogateescape")) if unicodedata.category(c) in _UNPRINTABLE else c for c in case_id
    )
    encoded = printable.encode()
    return printable if len(encoded) <= LONGEST_BYTES else encoded[:_KEPT_BYTES].decode(errors="ignore") + "..."


def same_name(case_id: str) -> str:
    """Returns what two case ids have in common that some file system takes for the same: Unicode's forms, and case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", case_id).casefold())

"""Text from outside, made fit for what it goes into: one line of a log or terminal, a case's id."""

from __future__ import annotations

import hashlib

MAX_ID_BYTES = 200
"""Longest case id: with what it is part of, it stays below the 255 bytes of a file's name."""

_FORMULA = frozenset("=+-@")
"""What a spreadsheet takes for the beginning of a formula, and a command line for an option."""


def printable(text: str) -> str:
    r"""Returns text in which every character that is not printed (a line end, an escape, a turn of the direction of
    writing) is written as Python would: `\n`, `\x1b`."""  # noqa: D205, D209
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def safe_id(text: str) -> str:
    """Returns a case id: one line, no path, no formula in a table, no option, short enough for a file's name.

    What may not be in it is percent-encoded, as in a URL; what is too long ends with a digest. Usual names stay as they
    are.
    """
    name = text
    if not name.isprintable() or "/" in name:
        name = "".join(c if c.isprintable() and c != "/" else _quoted(c) for c in name)
    if name[:1] in _FORMULA or name in (".", ".."):
        name = _quoted(name[0]) + name[1:]
    stored = name.encode("utf-8")
    if len(stored) <= MAX_ID_BYTES:
        return name
    digest = hashlib.sha256(stored).hexdigest()[:16]
    return stored[: MAX_ID_BYTES - len(digest) - 1].decode("utf-8", "ignore") + f"-{digest}"


def _quoted(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

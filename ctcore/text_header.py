"""What MetaImage and NRRD headers have in common: lines of text, judged before a reader in C++ sees them.

ITK's readers of both end the process at some damaged headers (seen with ITK 5.4: more axes than they have room for,
values longer than their buffers). So each line has to be one that is known and of its form; what is not is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ctcore.errors import UnreadableImageError

MAX_HEADER_BYTES = 1 << 16
"""Longest header; real ones have some hundreds of bytes."""

MAX_LINE_BYTES = 1 << 12
"""Longest line of one."""

MAX_AXES = 4
"""Most axes; what has more is no volume with a few extra ones of size 1."""

NUMBER = r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?"
"""A finite decimal number, as text headers write it."""

WHOLE = r"\d{1,15}"
"""A whole number that no reader overflows at."""

_STRANGE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[ \t]{17}")
"""Control characters, and more blanks than separate two values."""
_SHORT_TEXT = re.compile(r".{0,1000}")
_PLAIN_NAME = re.compile(r"[^/\\%\0]{1,255}")


@dataclass(frozen=True)
class StoredVoxels:
    """Where an image's voxels lie.

    Attributes:
        size: voxels along each axis, ITK's order.
        voxel_bytes: bytes of one, all of its components.
        path: the file that holds them.
        start: their first byte in it.
        deflated: whether they are compressed (gzip or zlib).
        scaled: whether the header's slope and intercept make values of them, which are float64 then.
    """

    size: tuple[int, ...]
    voxel_bytes: int
    path: Path
    start: int
    deflated: bool
    scaled: bool = False

    @property
    def bytes_at_most(self) -> int:
        """Bytes that may come out of them when they are decompressed."""
        return self.voxel_bytes * math.prod(self.size)

    @property
    def read_voxel_bytes(self) -> int:
        """Bytes of one when it is read."""
        return max(8, self.voxel_bytes) if self.scaled else self.voxel_bytes


def refused(path: Path, what: str) -> UnreadableImageError:
    """Returns the error that says what is wrong with a header."""
    return UnreadableImageError(f"'{path.name}' cannot be read: {what}; check or replace it")


def header_lines(handle: BinaryIO, path: Path) -> Iterator[str]:
    """Yields the lines of a header without their ends; what follows the header is not read.

    Raises:
        UnreadableImageError: a line or the header is too long, ends early, or is not text.
    """
    read = 0
    while True:
        line = handle.readline(MAX_LINE_BYTES)
        read += len(line)
        if not line.endswith(b"\n") or read > MAX_HEADER_BYTES:
            raise refused(path, "its header has no end, or is too long")
        text = line.rstrip(b"\r\n").decode("latin-1")
        if _STRANGE.search(text):
            raise refused(path, "its header is not text")
        yield text


def data_file(path: Path, name: str) -> Path:
    """Returns the file beside a header that holds its voxels.

    Raises:
        UnreadableImageError: the name is a pattern or leads elsewhere, or there is no such file.
    """
    if not _PLAIN_NAME.fullmatch(name) or name in (".", "..") or name.upper().startswith("LIST"):
        raise refused(path, f"its voxels are in '{name[:80]}', which is no single file beside it")
    stored = name.encode("latin-1").decode("utf-8", "surrogateescape")  # as the file system spells it
    beside = path.parent / stored
    try:
        there = beside.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise refused(path, f"'{name[:80]}', which holds its voxels, is not there")
    return beside


Forms = Mapping[str, re.Pattern[str]]
"""The form of each field's value, by key."""


class HeaderFields:
    """The fields of a header, each judged when it is read.

    Args:
        path: the header, for messages.
        forms_of: the forms of all fields, for a number of axes.
        axes_key: the field that says how many axes there are; ITK makes room for them when it reads it, so fields with
            a number for each axis have to follow it.
        other_keys: what keys that have no form may look like; None where all others are refused.
    """

    def __init__(
        self,
        path: Path,
        forms_of: Callable[[int], Forms],
        axes_key: str,
        other_keys: re.Pattern[str] | None = None,
    ) -> None:
        self._path, self._forms_of, self._axes_key, self._other_keys = path, forms_of, axes_key, other_keys
        self._forms, more = forms_of(1), forms_of(2)
        self._of_axes = {key for key, form in more.items() if form.pattern != self._forms[key].pattern}
        self._values: dict[str, str] = {}

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, otherwise: str) -> str:
        """Returns the value of a field that need not be there."""
        return self._values.get(key, otherwise)

    def add(self, key: str, value: str, line: str) -> None:
        """Takes in a field.

        Args:
            key: its name.
            value: what stands there.
            line: both, as the header has them.

        Raises:
            UnreadableImageError: the field is unknown, not of its form, comes twice, or before the number of axes.
        """
        form = self._forms.get(key)
        if form is None and self._other_keys is not None and self._other_keys.fullmatch(key):
            form = _SHORT_TEXT
        if form is None or not form.fullmatch(value):
            raise refused(self._path, f"its header says '{line.strip()[:80]}'")
        if key in self._values:
            raise refused(self._path, f"its header says '{key}' twice")
        if key in self._of_axes and self._axes_key not in self._values:
            raise refused(self._path, f"its header says '{key}' before '{self._axes_key}'")
        self._values[key] = value
        if key == self._axes_key:
            self._forms = self._forms_of(int(value))

    def need(self, keys: Sequence[str]) -> None:
        """Refuses a header without some fields.

        Raises:
            UnreadableImageError: one is missing.
        """
        for key in keys:
            if key not in self._values:
                raise refused(self._path, f"its header lacks '{key}'")

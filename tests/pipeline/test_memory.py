"""Sizes as text, and what this process has in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctcore.errors import RequestError
from pipeline.memory import parse_size, peak, resident


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 << 30), ("512M", 512 << 20), ("3.5 GiB", 7 << 29), ("1024k", 1 << 20), ("7B", 7), ("1tb", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "four", "-1G", "0", "4X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(RequestError, match="is not a size; write for instance 4G"):
        parse_size(text)


def test_memory_that_is_taken_is_seen() -> None:
    before = resident()
    taken = np.ones(64 << 20, np.uint8)
    assert resident() - before > 60 << 20
    del taken
    assert resident() - before < 32 << 20
    assert peak() >= before + (60 << 20)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipeline.memory._STATUS", tmp_path / "none")
    with pytest.raises(RequestError, match="leave --max-ram out"):
        resident()

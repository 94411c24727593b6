from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.inference.backends import processor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu avx512_bf16\nprocessor\t: 1\nflags\t\t: fpu\n",
            frozenset({"fpu", "avx512_bf16"}),
        ),
        ("model name\t: amx_bf16 imitation\nflags\t\t: fpu avx512f\n", frozenset({"fpu", "avx512f"})),
        ("Features\t: fp asimd\n", frozenset()),
    ],
)
def test_flags_are_the_first_processors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: frozenset[str]
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    assert processor.processor_flags() == expected


def test_elsewhere_than_on_linux_they_are_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "none")
    assert processor.processor_flags() is None

"""Every `--help` answers, at once: no command line loads a heavy library before it needs one."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

PACKAGES = ("pipeline", "stage1_localizer", "stage2_multitask")
HEAVY = (
    "torch",
    "nnunetv2",
    "openvino",
    "skimage",
    "SimpleITK",
    "pydicom",
    "highdicom",
    "matplotlib",
    "ray",
    "s3fs",
    "timm",
    "report_guided_annotation",
    "mlflow",
)


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yields the words of a command and of all below it."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


ALL = [
    words
    for package in PACKAGES
    for words in commands(get_command(importlib.import_module(f"{package}.cli").app), (package,))
]


def test_every_command_is_found() -> None:
    assert {("pipeline", "run"), ("pipeline", "bundle", "verify")} <= set(ALL)
    for stage in PACKAGES[1:]:
        assert {(stage, name) for name in ("prepare", "plan", "train", "predict", "export")} <= set(ALL)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_answers(words: tuple[str, ...]) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", *words, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert "Usage:" in answer.stdout
    assert answer.stderr == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_the_command_line_is_light(package: str) -> None:
    code = f"import sys, {package}.cli; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert package in loaded
    assert [name for name in HEAVY if name in loaded] == []

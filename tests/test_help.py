"""Every `--help` answers, at once: no command line loads a heavy library before it needs one."""

import importlib
import json
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


@pytest.mark.parametrize("package", PACKAGES)
def test_help_answers(package: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", package, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert "Usage:" in answer.stdout
    assert answer.stderr == ""


EVERY_HELP = """
import contextlib, io, json, sys
from typer.main import get_command
from {package}.cli import app
command, answers = get_command(app), {{}}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            code = command.main([*words, "--help"], "{package}", standalone_mode=True)
        except SystemExit as ended:
            code = ended.code
    answers[" ".join(words)] = [code, shown.getvalue()]
json.dump([answers, sorted({{name.split(".")[0] for name in sys.modules}})], sys.stdout)
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_help_is_light(package: str) -> None:
    below = [words[1:] for words in ALL if words[0] == package]
    command = [sys.executable, "-c", EVERY_HELP.format(package=package), json.dumps(below)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    answers, loaded = json.loads(done.stdout)
    assert done.stderr == ""
    assert len(answers) == len(below) > 1
    for words, (code, shown) in answers.items():
        assert code == 0, words
        assert f"Usage: {package} {words}".rstrip() in shown
    assert package in loaded
    assert [name for name in HEAVY if name in loaded] == []

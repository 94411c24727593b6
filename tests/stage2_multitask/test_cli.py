"""The command line: exit codes and one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctcore.inference.backends.choose import Execution
from stage2_multitask.cli import app


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_names_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in ("prepare", "plan", "train", "export", "predict"):
        assert command in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "--input", "{tmp}", "--output", "{tmp}/w", "--recipe", "dmeo"), "recipe 'dmeo' does not exist"),
        (("prepare", "--input", "{tmp}", "--output", "{tmp}/w"), "imagesTr' does not exist"),
        (("prepare", "--output", "{tmp}/w"), "--input"),
        (("plan", "--workspace", "{tmp}"), "run `prepare` first"),
        (("train", "--workspace", "{tmp}"), "run `plan` first"),
        (("export", "--workspace", "{tmp}", "--output", "{tmp}/m", "--trained-on", "boxes"), "run `plan` first"),
        (("predict", "--model", "{tmp}", "--input", "{tmp}/gone", "--output", "{tmp}/o"), "gone' does not exist"),
        (("train", "--workspace", "{tmp}", "--workers", "-1"), "--workers"),
    ],
)
def test_a_wrong_request(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = call(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_prepare_then_predict(
    training_folder: Path,
    recipe_file: Path,
    tmp_path: Path,
    random_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = call(
        "prepare", "--input", training_folder, "--output", tmp_path / "w", "--recipe", recipe_file, "--folds", 2
    )
    assert prepared.exit_code == 0, prepared.output
    assert f"Dataset: {tmp_path / 'w'}" in prepared.stdout

    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    crops = next((tmp_path / "w" / "raw").glob("*/imagesTr"))
    (crops / "e_0000.nii.gz").write_bytes(b"")
    output = tmp_path / "out"
    predicted = call("predict", "--model", random_model(patch_size=(16, 16, 20)), "--input", crops, "--output", output)
    assert predicted.exit_code == 1
    assert "failed e: " in predicted.stderr
    rows = (output / "classes.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["case_id", "a", "b", "c", "d"]

"""The command line: exit codes and one-line errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.cli import app
from stage2_multitask.recipe import MultiTaskRecipe
from tests.stage2_multitask.trained_workspace import make_trained


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_names_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in ("prepare", "plan", "train", "export", "predict", "evaluate"):
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
        (("evaluate", "--output", "{tmp}/o"), "give --workspace, or --model with --input"),
        (("evaluate", "--output", "{tmp}/o", "--model", "{tmp}"), "give --workspace, or --model with --input"),
        (("evaluate", "--output", "{tmp}/o", "--workspace", "{tmp}"), "run `plan` first"),
        (("evaluate", "--output", "{tmp}/o", "--model", "{tmp}", "--input", "{tmp}/x"), "imagesTr' does not exist"),
        (("evaluate", "--output", "{tmp}/o", "--workspace", "{tmp}", "--min-overlap", "0"), "minimum overlap 0.0"),
        (("evaluate", "--output", "/dev/null/o", "--workspace", "{tmp}"), "not a folder that can be written to"),
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


def test_evaluate_a_model(
    planned: Workspace,
    tmp_path: Path,
    random_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    output, model = tmp_path / "out", random_model()
    request = ("evaluate", "--model", model, "--input", planned.root, "--bootstrap", 20)
    done = call(*request, "--output", output, "--growth-factor", 5, "--fusion", "max", "--beta", 1)
    assert done.exit_code == 0, done.output
    assert "head alone" in done.stdout
    assert "trained on: nothing" in done.stdout
    settings = read_json(output / "metrics.json")["settings"]
    assert settings["candidates"]["dynamic_threshold_factor"] == 5
    assert (settings["fusion"]["rule"], settings["beta"], settings["bootstrap"]) == ("max", 1, 20)

    shutil.copytree(planned.raw, tmp_path / "crops")
    (tmp_path / "crops" / "imagesTr" / "a_0000.nii.gz").unlink()
    (tmp_path / "crops" / "imagesTr" / "a_0000.nii.gz").write_bytes(b"")
    failed = call("evaluate", "--model", model, "--input", tmp_path / "crops", "--output", output, "--bootstrap", 0)
    assert failed.exit_code == 1
    assert "failed a: " in failed.stderr
    assert list(read_json(output / "metrics.json")["failed_cases"]) == ["a"]


def test_evaluate_the_folds_of_a_workspace(
    planned: Workspace,
    tmp_path: Path,
    recipe_file: Path,
    recipe: MultiTaskRecipe,
    random_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    workspace = make_trained(planned, tmp_path / "w", recipe, random_model(folds=("0", "1")), ["0", "1"])
    output = tmp_path / "out"
    request = ("evaluate", "--workspace", workspace.root, "--recipe", recipe_file, "--output", output, "--bootstrap", 0)
    done = call(*request)
    assert done.exit_code == 0, done.output
    assert sorted(read_json(output / "metrics.json")["by_fold"]) == ["0", "1"]
    assert call(*request, "--fold", 1).exit_code == 0
    assert read_json(output / "metrics.json")["counts"]["cases"] == 2

"""The command line: exit codes and one-line errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from stage1_localizer.cli import app
from stage1_localizer.recipe import load
from tests.stage1_localizer.trained_workspace import make_trained


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
        (("export", "--workspace", "{tmp}", "--output", "{tmp}/m", "--trained-on", "boxes"), "run `train` first"),
        (("predict", "--model", "{tmp}", "--input", "{tmp}/gone", "--output", "{tmp}/o"), "gone' does not exist"),
        (("train", "--workspace", "{tmp}", "--workers", "-1"), "--workers"),
        (("evaluate", "--output", "{tmp}/o"), "give --workspace, or --model with --input"),
        (("evaluate", "--output", "{tmp}/o", "--model", "{tmp}"), "give --workspace, or --model with --input"),
        (("evaluate", "--output", "{tmp}/o", "--workspace", "{tmp}", "--model", "{tmp}"), "give --workspace, or"),
        (("evaluate", "--output", "{tmp}/o", "--workspace", "{tmp}"), "no trained fold"),
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
    constant_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = call(
        "prepare", "--input", training_folder, "--output", tmp_path / "w", "--recipe", recipe_file, "--folds", 2
    )
    assert prepared.exit_code == 0, prepared.output
    assert f"Dataset: {tmp_path / 'w'}" in prepared.stdout

    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    model, output = constant_model(True, patch_size=(24, 32, 32)), tmp_path / "out"
    image = training_folder / "imagesTr" / "a_0000.nii.gz"
    predicted = call("predict", "--model", model, "--input", image, "--output", output)
    assert predicted.exit_code == 0, predicted.output
    assert read_json(output / "rois.json")["a"]["stop"] == [24, 32, 32]

    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.nii.gz").write_bytes(image.read_bytes())
    (tmp_path / "mixed" / "b.nii.gz").write_bytes(b"")
    some = call("predict", "--model", model, "--input", tmp_path / "mixed", "--output", tmp_path / "out2")
    assert some.exit_code == 1
    assert "failed b: " in some.stderr
    assert list(read_json(tmp_path / "out2" / "rois.json")) == ["a"]


def test_evaluate_both_forms(
    training_folder: Path,
    recipe_file: Path,
    tmp_path: Path,
    constant_model: Callable[..., Path],
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctcore.inference.backends.choose.resolve", lambda *_: execution)
    changed = (
        recipe_file.read_text(encoding="utf-8")
        .replace('"tiny"', '"by-data"')
        .replace("margin_mm = [8.0, 8.0, 8.0]", "")
    )
    by_data = tmp_path / "by-data.toml"
    by_data.write_text(changed, encoding="utf-8")
    work = make_trained(training_folder, tmp_path / "w", load(str(by_data)), {"0": True, "1": True}).root
    folds = call("evaluate", "--workspace", work, "--recipe", by_data, "--output", tmp_path / "cv")
    assert folds.exit_code == 0, folds.output
    assert "Margins (z, y, x) from 2 validation cases with a lesion:" in folds.stdout
    assert "The stage-2 recipe should say: margin_mm = [10, 10, 10]" in folds.stdout
    assert read_json(tmp_path / "cv" / "metrics.json")["cases"] == 4

    made = call("export", "--workspace", work, "--recipe", by_data, "--output", tmp_path / "m", "--trained-on", "boxes")
    assert made.exit_code == 0, made.output
    assert "The stage-2 recipe should say: margin_mm = [10, 10, 10]" in made.stdout

    images, labels = training_folder / "imagesTr", training_folder / "labelsTr"
    arguments = ("evaluate", "--model", constant_model(True), "--input", images, "--labels", labels)
    unnamed = call(*arguments, "--output", tmp_path / "n")
    assert unnamed.exit_code == 2
    assert "pass --dataset panorama" in unnamed.stderr
    (tmp_path / "cts").mkdir()
    for case_id in ("a", "b"):
        (tmp_path / "cts" / f"{case_id}.nii.gz").write_bytes((images / f"{case_id}_0000.nii.gz").read_bytes())
    (tmp_path / "cts" / "c.nii.gz").write_bytes(b"")
    arguments = ("evaluate", "--model", constant_model(True), "--input", tmp_path / "cts", "--labels", labels)
    some = call(*arguments, "--dataset", "panorama", "--output", tmp_path / "some")
    assert some.exit_code == 1
    assert "failed c: " in some.stderr
    assert "Margins (z, y, x): [8, 8, 8] mm" in some.stdout
    assert read_json(tmp_path / "some" / "metrics.json")["cases"] == 2

"""Faulty inputs of the other commands: one line on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctcore.files import write
from ctcore.volume import Geometry, Volume
from pipeline.cli import app
from tests.ctcore.datasets.layouts_on_disk import write_nnunet

SHAPE = (6, 8, 10)


def volume(array: np.ndarray, spacing: float = 1.0) -> Volume:
    """Values (z, y, x) on a grid of cubes."""
    return Volume(array, Geometry((array.shape[0], array.shape[1], array.shape[2]), (spacing, spacing, spacing)))


def a_map(value: float = 0.5) -> np.ndarray:
    """A detection map with one candidate."""
    array = np.zeros(SHAPE, np.float32)
    array[2:4, 2:5, 2:5] = value
    return array


def called(program: object, *words: object) -> Result:
    """Runs a command line."""
    return CliRunner().invoke(program, [str(word) for word in words])  # type: ignore[arg-type]


def assert_one_line(result: Result, exit_code: int, says: str) -> None:
    """Checks for the exit code and one line on stderr that holds a text."""
    assert result.exit_code == exit_code, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
    assert "Traceback" not in result.output


def _without(*paths: Path) -> None:
    """Removes files."""
    for path in paths:
        path.unlink()


MAP = "maps/b.nii.gz"
LABEL = "labels/b.nii.gz"
Change = Callable[[Path], object]

EVALUATION_FAULTS: dict[str, tuple[Change, str]] = {
    "map of another shape": (lambda f: write(volume(a_map()[:-1]), f / MAP), "case 'b': its detection map lies on"),
    "map of another spacing": (lambda f: write(volume(a_map(), 2.0), f / MAP), "case 'b': its detection map lies on"),
    "map with NaN": (lambda f: write(volume(a_map(np.nan)), f / MAP), "case 'b': the detection map holds NaN"),
    "map that is a softmax": (
        lambda f: write(volume(np.random.default_rng(0).random(SHAPE).astype(np.float32)), f / MAP),
        "looks like a softmax",
    ),
    "map that is cut": (lambda f: (f / MAP).write_bytes((f / MAP).read_bytes()[:60]), "case 'b': 'b.nii.gz' cannot be"),
    "missing label": (lambda f: _without(f / LABEL), "no label in"),
    "label that is empty": (lambda f: (f / LABEL).write_bytes(b""), "case 'b': 'b.nii.gz' cannot be read: it is empty"),
    "two labels of a case": (lambda f: write(volume(a_map()), f / "labels" / "b.mha"), "are both case 'b'; rename or"),
    "missing map": (lambda f: _without(f / MAP), "no prediction for the labels of 'b'"),
    "empty folder": (lambda f: _without(*(f / "maps").iterdir()), "holds no image"),
}


@pytest.mark.parametrize("name", EVALUATION_FAULTS)
def test_evaluate(tmp_path: Path, name: str) -> None:
    for case_id in "ab":
        write(volume(a_map()), tmp_path / "maps" / f"{case_id}.nii.gz")
        write(volume((a_map() > 0).astype(np.uint8)), tmp_path / "labels" / f"{case_id}.nii.gz")
    change, says = EVALUATION_FAULTS[name]
    change(tmp_path)
    places = ("--predictions", tmp_path / "maps", "--labels", tmp_path / "labels", "--output", tmp_path / "out")
    assert_one_line(called(app, "evaluate", *places, "--bootstrap", 0), 2, says)
    assert not (tmp_path / "out").exists()


TRAINING_FAULTS: dict[str, tuple[Change, str]] = {
    "image that is cut": (lambda f: (f / IMAGE).write_bytes((f / IMAGE).read_bytes()[:99]), "unreadable-image"),
    "image that is a mask": (lambda f: write(volume((a_map() > 0).astype(np.uint8)), f / IMAGE), "not-ct"),
    "label map that is empty": (lambda f: (f / "labelsTr" / "a.nii.gz").write_bytes(b""), "unreadable-label"),
    "label map of another grid": (
        lambda f: write(volume(np.ones(SHAPE, np.uint8)), f / "labelsTr" / "a.nii.gz"),
        "grid-mismatch",
    ),
}
IMAGE = "imagesTr/a_0000.nii.gz"


@pytest.mark.parametrize("stage", ["stage1_localizer", "stage2_multitask"])
@pytest.mark.parametrize("name", TRAINING_FAULTS)
def test_prepare(tmp_path: Path, stage: str, name: str) -> None:
    write_nnunet(tmp_path / "data", {case_id: ("non-PDAC", "PDAC")[case_id in "ab"] for case_id in "abcd"})
    change, code = TRAINING_FAULTS[name]
    change(tmp_path / "data")
    program = importlib.import_module(f"{stage}.cli").app
    result = called(program, "prepare", "--input", tmp_path / "data", "--output", tmp_path / "w", "--folds", 2)
    assert_one_line(result, 1, "the dataset has faults; correct them, or pass --skip-faulty to leave these cases out")
    assert code in result.stdout
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["doctor.json"]


BUNDLE_FAULTS: dict[str, tuple[Change, str]] = {
    "no weights": (lambda f: _without(f / "stage2" / "fold_all.safetensors"), "is not an exported stage"),
    "no description": (lambda f: _without(f / "stage1" / "model.json"), "is not an exported stage"),
    "description that is no JSON": (lambda f: (f / "stage2" / "model.json").write_text('{"stage'), "cannot be read as"),
}


@pytest.mark.parametrize("name", BUNDLE_FAULTS)
def test_bundle_create(tmp_path: Path, make_stage: Callable[..., Path], name: str) -> None:
    stage1, stage2 = make_stage("stage1"), make_stage("stage2", class_names=["non-PDAC", "PDAC"])
    change, says = BUNDLE_FAULTS[name]
    change(stage1.parent)
    made = tmp_path / "made" / "bundle"
    result = called(
        app, "bundle", "create", "--stage1", stage1, "--stage2", stage2, "--output", made, "--name", "x", "--demo"
    )
    assert_one_line(result, 2, says)
    assert not made.parent.exists() or not list(made.parent.iterdir())

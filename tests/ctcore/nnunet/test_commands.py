"""The commands that both stages share hand their options on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ctcore.nnunet.commands import add_training_commands


class RecordingStage:
    """Remembers what it was asked for."""

    title = "stage 9"
    makes = "nothing at all"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def load(self, recipe: str) -> str:
        return f"<{recipe}>"

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> None:
        options.pop("progress")(1, 1)
        self.calls.append(([str(path) for path in sources], str(root), recipe, options))

    def workspace_at(self, root: Path) -> Any:
        return SimpleNamespace(plans_file=root / "plans.json")

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        options.pop("progress")(1, 2, {"dice": 0.25})
        self.calls.append((str(root), recipe, fold, options))
        return root / fold

    def export(self, root: Path, recipe: Any, output: Path, *, trained_on: str) -> None:
        self.calls.append((str(root), recipe, str(output), trained_on))


@pytest.fixture
def stage() -> RecordingStage:
    return RecordingStage()


def call(stage: RecordingStage, line: str) -> Result:
    app = typer.Typer()
    add_training_commands(app, stage)
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.output
    return result


def test_prepare(stage: RecordingStage) -> None:
    result = call(stage, "prepare --input a --input b --output w --recipe big --folds 3 --workers 2")
    assert stage.calls == [(["a", "b"], "w", "<big>", {"folds": 3, "workers": 2})]
    assert "Dataset: w" in result.stdout


def test_plan(stage: RecordingStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ctcore.nnunet.planning.plan",
        lambda workspace, recipe, *, workers: stage.calls.append((workspace.plans_file, recipe, workers)),
    )
    assert "Plan: w/plans.json" in call(stage, "plan --workspace w --workers 0").stdout
    assert stage.calls == [(Path("w/plans.json"), "<demo>", 1)]


@pytest.mark.parametrize(("flag", "resume"), [("", True), (" --resume", True), (" --restart", False)])
def test_train(stage: RecordingStage, flag: str, resume: bool) -> None:
    result = call(stage, "train --workspace w --fold all --device cuda --workers 0" + flag)
    assert stage.calls == [("w", "<demo>", "all", {"device": "cuda", "resume": resume, "workers": 0})]
    assert "stage 9 fold all: epoch 1/2  dice 0.250" in result.stdout
    assert "Trained: w/all" in result.stdout


def test_export(stage: RecordingStage) -> None:
    assert "Model: m" in call(stage, "export --workspace w --output m --trained-on boxes").stdout
    assert stage.calls == [("w", "<demo>", "m", "boxes")]

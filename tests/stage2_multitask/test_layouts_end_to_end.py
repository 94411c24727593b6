"""From the three-subtype layout to a predictor that runs, with the residual encoder that nnU-Net plans."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from stage2_multitask.cli import app
from stage2_multitask.dataset import workspace_at
from stage2_multitask.predictor import MultiTaskPredictor
from tests.ctcore.datasets.layouts_on_disk import write_subtypes

PREPARED = ["spacing_mm=[2.0,1.5,1.0]", "margin_jitter_mm=0", "labels={background = 0, pancreas = 1, lesion = 2}"]
CLASSES = ['class_names=["subtype0","subtype1","subtype2"]', "class_loss.weights=equal"]
PLANNED = ["planner=resenc-m", "patch_size=[16,16,16]", "batch_size=2", "features=none"]
BRIEF = ["epochs=1", "iterations_per_epoch=1", "validation_iterations=1", "phases.segmentation=0", "phases.head=0"]


def call(command: str, *arguments: object, changes: list[str]) -> str:
    settings = [word for change in changes for word in ("--set", change)]
    result = CliRunner().invoke(app, [command, *(str(argument) for argument in arguments), *settings])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_subtypes_to_predictor(tmp_path: Path) -> None:
    data, work, model = write_subtypes(tmp_path / "data"), tmp_path / "work", tmp_path / "model"
    call("prepare", "--dataset", "subtypes", "--input", data, "--output", work, changes=[*PREPARED, *CLASSES])
    call("plan", "--workspace", work, changes=[*PREPARED, *CLASSES, *PLANNED])
    changes = [*PREPARED, *CLASSES, *PLANNED, *BRIEF, "head.width=4", "name=brief"]
    call("train", "--workspace", work, "--workers", 0, changes=changes)
    export = ("--workspace", work, "--output", model, "--trained-on", "noise")
    call("export", *export, changes=["name=brief", "aggregation=mean"])

    details = read_json(model / "model.json")
    assert details["architecture"]["arch_kwargs"]["n_blocks_per_stage"] == [1, 3, 4]
    assert (details["patch_size"], details["head"]["width"], details["aggregation"]) == ([16, 16, 16], 4, "mean")
    assert details["recipe"]["planner"] == "resenc-m"
    predictor = MultiTaskPredictor(model, Execution("cpu", "torch", "fp32"))
    answer = predictor.predict(read_ct(next((workspace_at(work).raw / "imagesTr").iterdir())))
    assert list(answer.class_probabilities) == ["subtype0", "subtype1", "subtype2"]
    assert sum(answer.class_probabilities.values()) == pytest.approx(1)

"""From three layouts to a localizer that runs, with different planners; the docs page's test takes PANORAMA's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ctcore.files import read_ct
from ctcore.inference.backends.choose import Execution
from ctcore.json_files import read_json
from stage1_localizer.cli import app
from stage1_localizer.dataset import workspace_at
from stage1_localizer.localizer import Localizer
from tests.ctcore.datasets.layouts_on_disk import write_msd, write_nnunet, write_subtypes

SPACING = ["spacing_mm=[2.0,1.5,1.0]"]
BRIEF = ["epochs=1", "iterations_per_epoch=1", "validation_iterations=1"]
RECIPE_SIZES = ["patch_size=[16,16,16]", "batch_size=2", "features=[4,8,8]"]
PLANNED_SIZES = ["patch_size=[16,16,16]", "batch_size=2", "features=none"]


def call(command: str, *arguments: object, changes: list[str]) -> str:
    settings = [word for change in changes for word in ("--set", change)]
    result = CliRunner().invoke(app, [command, *(str(argument) for argument in arguments), *settings])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("layout", "changes", "blocks"),
    [
        pytest.param(
            "msd", [*PLANNED_SIZES, "planner=resenc-m"], {"n_blocks_per_stage": [1, 3, 4]}, marks=pytest.mark.slow
        ),
        pytest.param(
            "subtypes", [*PLANNED_SIZES, "planner=nnunet"], {"n_conv_per_stage": [2, 2, 2]}, marks=pytest.mark.slow
        ),
        ("nnunet", RECIPE_SIZES, {"n_conv_per_stage": [2, 2, 2], "features_per_stage": [4, 8, 8]}),
    ],
)
def test_from_layout_to_localizer(layout: str, changes: list[str], blocks: dict[str, Any], tmp_path: Path) -> None:
    data, work, model = tmp_path / "data", tmp_path / "work", tmp_path / "model"
    if layout == "msd":
        write_msd(data, [f"pancreas_{number:03}" for number in range(4)])
    elif layout == "subtypes":
        write_subtypes(data)
    else:
        write_nnunet(data, {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"})
    sizes = [*SPACING, *changes]
    recipe = ("--recipe", "panorama-report")
    options = ("--dataset", layout, "--input", data, "--output", work, "--folds", 2)
    call("prepare", *options, *recipe, changes=SPACING)
    call("plan", "--workspace", work, *recipe, changes=sizes)
    call("train", "--workspace", work, *recipe, "--workers", 0, changes=[*sizes, *BRIEF, "name=brief"])
    after = ["name=brief", "margin_mm=[1,2,3]"]
    call("evaluate", "--workspace", work, *recipe, "--output", tmp_path / "evaluation", changes=after)
    metrics = read_json(tmp_path / "evaluation" / "metrics.json")
    validated = read_json(workspace_at(work).preprocessed / "splits_final.json")[0]["val"]
    assert (metrics["cases"], metrics["failed"]) == (len(validated), {})
    trained_on = ("--output", model, "--trained-on", "noise")
    call("export", "--workspace", work, *recipe, *trained_on, changes=after)

    details = read_json(model / "model.json")
    assert (details["spacing_mm"], details["patch_size"], details["folds"]) == ([2.0, 1.5, 1.0], [16, 16, 16], ["0"])
    assert blocks.items() <= details["architecture"]["arch_kwargs"].items()
    recorded = details["recipe"]
    assert [recorded[name] for name in ("name", "epochs", "schedule", "margin_mm")] == ["brief", 1, "step", [1, 2, 3]]
    localizer = Localizer(model, Execution("cpu", "torch", "fp32"))
    image = next((workspace_at(work).raw / "imagesTr").iterdir())
    assert localizer.locate(read_ct(image)).box.shape

    refused = CliRunner().invoke(app, ["train", "--workspace", str(work), *recipe, "--workers", "0"])
    assert refused.exit_code == 2
    assert "contradicts what `prepare` did" in refused.stderr

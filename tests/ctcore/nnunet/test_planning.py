"""The recipe's sizes become nnU-Net's plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import DatasetError, RecipeError
from ctcore.files import write_json
from ctcore.nnunet.planning import architecture_of, plan
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import Workspace


def test_isotropic_levels_halve_every_axis(recipe: Callable[..., TrainingRecipe]) -> None:
    description = architecture_of(recipe())
    arguments = description["arch_kwargs"]
    assert description["network_class_name"].endswith(".PlainConvUNet")
    assert arguments["features_per_stage"] == [4, 8, 8]
    assert arguments["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
    assert arguments["kernel_sizes"] == [[3, 3, 3]] * 3
    assert arguments["n_conv_per_stage"] == [2, 2, 2]
    assert arguments["n_conv_per_stage_decoder"] == [2, 2]


def test_few_thick_slices_are_not_halved(recipe: Callable[..., TrainingRecipe]) -> None:
    arguments = architecture_of(recipe(spacing_mm=(5.0, 1.0, 1.0), patch_size=(4, 16, 16)))["arch_kwargs"]
    assert arguments["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2]]
    assert arguments["kernel_sizes"][0] == [1, 3, 3]


def test_a_residual_encoder_counts_blocks(recipe: Callable[..., TrainingRecipe]) -> None:
    description = architecture_of(recipe(encoder="resenc", blocks_per_level=(1, 3, 4)))
    assert description["network_class_name"].endswith(".ResidualEncoderUNet")
    assert description["arch_kwargs"]["n_blocks_per_stage"] == [1, 3, 4]
    assert "n_conv_per_stage" not in description["arch_kwargs"]


@pytest.mark.parametrize("patch", [(16, 16, 17), (8, 8, 8)])
def test_an_impossible_patch_is_quoted(recipe: Callable[..., TrainingRecipe], patch: tuple[int, int, int]) -> None:
    with pytest.raises(RecipeError, match=rf"patch_size \({patch[0]}, {patch[1]}, {patch[2]}\)"):
        architecture_of(recipe(patch_size=patch))


def test_planning_needs_a_prepared_dataset(recipe: Callable[..., TrainingRecipe], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="run `prepare` first"):
        plan(Workspace(tmp_path, "Dataset007_Tiny"), recipe())


def test_the_recipe_overrules_the_planner(
    recipe: Callable[..., TrainingRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, 1)
    done: list[str] = []

    def plan_like_nnunet(dataset_id: int, overwrite_target_spacing: tuple[float, float, float]) -> None:
        done.append(f"plan {dataset_id} at {overwrite_target_spacing}")
        configuration: dict[str, Any] = {"patch_size": [99, 99, 99], "batch_size": 9, "batch_dice": False}
        configurations = {"2d": {}, "3d_fullres": configuration}
        transpose = {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}
        write_json(workspace.plans_file, {"configurations": configurations} | transpose)

    api = "nnunetv2.experiment_planning.plan_and_preprocess_api"
    monkeypatch.setattr(f"{api}.extract_fingerprint_dataset", lambda *_, **__: done.append("fingerprint"))
    monkeypatch.setattr(f"{api}.plan_experiment_dataset", plan_like_nnunet)
    monkeypatch.setattr(f"{api}.preprocess_dataset", lambda *_, **__: done.append("preprocess"))
    settings = recipe(spacing_mm=(1.0, 1.0, 3.0), patch_size=(32, 32, 16))
    plans = plan(workspace, settings)

    assert done == ["fingerprint", "plan 7 at (1.0, 1.0, 3.0)", "preprocess"]
    assert plans == workspace.plans()
    assert list(plans["configurations"]) == ["3d_fullres"]
    configuration = plans["configurations"]["3d_fullres"]
    assert (configuration["spacing"], configuration["patch_size"]) == ([1.0, 1.0, 3.0], [32, 32, 16])
    assert (configuration["batch_size"], configuration["batch_dice"]) == (2, False)
    assert configuration["architecture"] == architecture_of(settings)
    # The network is exported with its axes as (z, y, x): training must not see them in another order.
    assert plans["transpose_forward"] == plans["transpose_backward"] == [0, 1, 2]

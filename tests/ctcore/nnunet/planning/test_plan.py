"""The recipe's sizes become nnU-Net's plan."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.errors import DatasetError, RecipeError
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of, plan
from ctcore.nnunet.provenance import recorded
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


def test_behind_a_strided_stem_levels_are_those_of_its_grid(recipe: Callable[..., TrainingRecipe]) -> None:
    coarse = architecture_of(recipe(spacing_mm=(6.0, 3.0, 3.0), patch_size=(16, 32, 32)))
    fine = architecture_of(recipe(spacing_mm=(3.0, 1.5, 1.5), patch_size=(32, 64, 64), stem_stride=2))
    assert fine["arch_kwargs"]["strides"] == [[2, 2, 2], *coarse["arch_kwargs"]["strides"][1:]]
    assert fine["arch_kwargs"]["kernel_sizes"] == coarse["arch_kwargs"]["kernel_sizes"]
    residual = architecture_of(recipe(encoder="resenc", features=(16, 16, 16), patch_size=(32, 32, 32), stem_stride=2))
    assert residual["arch_kwargs"]["stem_channels"] == 4
    assert build_unet(residual, 1, 2)(torch.zeros(1, 1, 32, 32, 32)).shape == (1, 2, 32, 32, 32)
    flat = architecture_of(recipe(spacing_mm=(3.0, 1.5, 1.5), patch_size=(1, 64, 64), stem_stride=2))
    assert flat["arch_kwargs"]["strides"] == [[2, 2]] * 3


@pytest.mark.parametrize("patch", [(33, 32, 32), (1, 32, 33)])
def test_a_patch_that_the_stem_does_not_divide(
    recipe: Callable[..., TrainingRecipe], patch: tuple[int, int, int]
) -> None:
    with pytest.raises(RecipeError, match=r"is not divisible by stem_stride 2"):
        architecture_of(recipe(patch_size=patch, stem_stride=2))


def test_a_patch_of_depth_1_is_a_2d_network(recipe: Callable[..., TrainingRecipe]) -> None:
    settings = recipe(spacing_mm=(0.1, 1.0, 3.0), patch_size=(1, 32, 16))  # the finest axis is not the network's
    arguments = architecture_of(settings)["arch_kwargs"]
    assert arguments["strides"] == [[1, 1], [2, 1], [2, 2]]
    assert arguments["kernel_sizes"] == [[3, 1], [3, 3], [3, 3]]
    assert arguments["conv_op"].endswith(".Conv2d")
    assert arguments["norm_op"].endswith(".InstanceNorm2d")
    assert build_unet(architecture_of(settings), 1, 2)(torch.zeros(3, 1, 32, 16)).shape == (3, 2, 32, 16)


def test_an_encoder_of_timms(recipe: Callable[..., TrainingRecipe]) -> None:
    settings = recipe(encoder="timm:test_resnet", patch_size=(1, 32, 64), features=())
    description = architecture_of(settings)
    assert description["arch_kwargs"]["features_per_stage"] == [16, 32, 32, 48]
    assert build_unet(description, 1, 2)(torch.zeros(1, 1, 32, 64)).shape == (1, 2, 32, 64)


def test_a_residual_encoder_counts_blocks(recipe: Callable[..., TrainingRecipe]) -> None:
    description = architecture_of(recipe(encoder="resenc", blocks_per_level=(1, 3, 4)))
    assert description["network_class_name"].endswith(".ResidualEncoderUNet")
    assert description["arch_kwargs"]["n_blocks_per_stage"] == [1, 3, 4]
    assert "n_conv_per_stage" not in description["arch_kwargs"]


@pytest.mark.parametrize("patch", [(16, 16, 17), (8, 8, 8), (1, 16, 17), (1, 8, 8)])
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

    class Planner:
        def __init__(self, dataset_id: int, **options: Any) -> None:
            self.options = options
            done.append(f"plan {dataset_id} at {options['overwrite_target_spacing']}")

        def plan_experiment(self) -> None:
            configuration: dict[str, Any] = {"patch_size": [99, 99, 99], "batch_size": 9, "batch_dice": True}
            configurations = {"2d": {}, "3d_fullres": configuration}
            # The network is exported with its axes as (z, y, x): training must not see them in another order.
            axes = [0, 1, 2] if self.options["suppress_transpose"] else [2, 0, 1]
            path = workspace.preprocessed / f"{self.options['plans_name']}.json"
            write_json(path, {"configurations": configurations, "transpose_forward": axes})

    api = "nnunetv2.experiment_planning.plan_and_preprocess_api"
    monkeypatch.setattr(f"{api}.extract_fingerprint_dataset", lambda *_, **__: done.append("fingerprint"))
    # It derives from the default planner, so it must be there before that one is replaced.
    importlib.import_module(
        "nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners"
    )
    default = "nnunetv2.experiment_planning.experiment_planners.default_experiment_planner.ExperimentPlanner"
    monkeypatch.setattr(default, Planner)
    monkeypatch.setattr(f"{api}.preprocess_dataset", lambda *_, **__: done.append("preprocess"))
    settings = recipe(spacing_mm=(1.0, 1.0, 3.0), patch_size=(32, 32, 16))
    plans = plan(workspace, settings)

    assert done == ["fingerprint", "plan 7 at [1.0, 1.0, 3.0]", "preprocess"]
    assert plans == workspace.plans()
    assert list(plans["configurations"]) == ["3d_fullres"]
    configuration = plans["configurations"]["3d_fullres"]
    assert (configuration["spacing"], configuration["patch_size"]) == ([1.0, 1.0, 3.0], [32, 32, 16])
    assert (configuration["batch_size"], configuration["batch_dice"]) == (2, False)
    assert configuration["architecture"] == architecture_of(settings)
    assert plans["transpose_forward"] == [0, 1, 2]
    assert read_json(workspace.planned_with_file) == {"finished": True, "recipe": settings.model_dump(mode="json")}


def test_a_refused_patch_leaves_the_plan_of_before(recipe: Callable[..., TrainingRecipe], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, 1)
    for settings in (recipe(patch_size=(16, 16, 17)), recipe(planner="nnunet", features=(), patch_size=(16, 16, 17))):
        with pytest.raises(RecipeError, match=r"patch_size \(16, 16, 17\)"):
            plan(workspace, settings)
    with pytest.raises(RecipeError, match=r"patch_size \(1, 72, 64\) is not divisible by 16"):
        plan(workspace, recipe(encoder="timm:test_resnet", patch_size=(1, 72, 64), features=()))
    assert not workspace.planned_with_file.exists()


def test_a_plan_at_another_spacing_than_the_images_is_refused(
    recipe: Callable[..., TrainingRecipe], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, 1)
    with recorded(workspace.prepared_with_file, recipe(spacing_mm=(3.0, 3.0, 2.0))):
        pass
    with pytest.raises(RecipeError, match="contradicts what `prepare` did"):
        plan(workspace, recipe())


def test_a_planner_that_decides_has_no_architecture_yet(recipe: Callable[..., TrainingRecipe]) -> None:
    with pytest.raises(RecipeError, match="planner 'nnunet' of recipe 'tiny' decides the architecture; run `plan`"):
        architecture_of(recipe(planner="nnunet", features=()))

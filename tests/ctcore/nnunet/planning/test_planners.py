"""nnU-Net's own planners on made-up fingerprints: their choices are kept, or replaced by what a recipe gives."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.errors import RecipeError
from ctcore.json_files import write_json
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.planners import make_planner, with_overrides
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import CONFIGURATION, Workspace

NNUNET = ("nnunet", "resenc-m")
LARGER = ("resenc-l", "resenc-xl")
"""The same planner with more memory to fill."""
SIZES = ("patch_size", "batch_size", "batch_dice", "architecture")

Plan = Callable[..., tuple[Any, dict[str, Any]]]


def planned(root: Path, recipe: TrainingRecipe, shape: tuple[int, int, int], cases: int) -> tuple[Any, dict[str, Any]]:
    workspace = Workspace(root, "Dataset007_Tiny")
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, cases)
    for path in (workspace.image_file("a"), workspace.label_file("a")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    intensities = dict.fromkeys(("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std"), 1.0)
    fingerprint = {
        "spacings": [list(recipe.spacing_mm)] * cases,
        "shapes_after_crop": [list(shape)] * cases,
        "foreground_intensity_properties_per_channel": {"0": intensities},
        "median_relative_size_after_cropping": 1.0,
    }
    write_json(workspace.preprocessed / "dataset_fingerprint.json", fingerprint)
    planner = make_planner(workspace, recipe)
    planner.plan_experiment()
    plans = workspace.plans()
    assert plans["transpose_forward"] == [0, 1, 2]
    assert plans["experiment_planner_used"] == type(planner).__name__
    return planner, plans["configurations"][CONFIGURATION]


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    """Runs a recipe's planner for so many images of a shape; returns it and the configuration that it chose."""
    with nnunet_environment(tmp_path):
        yield lambda recipe, shape=(96, 128, 128), cases=50: planned(tmp_path, recipe, shape, cases)


def free(recipe: Callable[..., TrainingRecipe], planner: str, **changes: Any) -> TrainingRecipe:
    """Returns a recipe that leaves every size to the planner."""
    return recipe(**({"planner": planner, "patch_size": None, "batch_size": None, "features": ()} | changes))


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        *((name, (3.0, 2.0, 2.0)) for name in NNUNET),
        *(pytest.param(name, (3.0, 2.0, 2.0), marks=pytest.mark.slow) for name in LARGER),
        ("nnunet", (6.0, 2.0, 2.0)),
        ("resenc-m", (2.0, 2.0, 5.0)),
    ],
)
def test_the_planners_choice_is_kept(
    recipe: Callable[..., TrainingRecipe], plan: Plan, name: str, spacing: tuple[float, float, float]
) -> None:
    settings = free(recipe, name, spacing_mm=spacing)
    planner, chosen = plan(settings)
    made = json.loads(json.dumps(with_overrides(planner, chosen, settings)))
    assert made == {size: chosen[size] for size in SIZES}


@pytest.mark.parametrize(("name", "encoder"), [("nnunet", "PlainConvUNet"), ("resenc-m", "ResidualEncoderUNet")])
def test_a_patch_brings_its_own_levels_and_batch(
    recipe: Callable[..., TrainingRecipe], plan: Plan, name: str, encoder: str
) -> None:
    settings = free(recipe, name, patch_size=(32, 64, 64))
    planner, chosen = plan(settings)
    before = copy.deepcopy(chosen)
    made = with_overrides(planner, chosen, settings)
    assert chosen == before
    arguments = made["architecture"]["arch_kwargs"]
    assert made["architecture"]["network_class_name"].endswith(f".{encoder}")
    assert made["patch_size"] == [32, 64, 64]
    assert arguments["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    assert arguments["features_per_stage"] == [32, 64, 128, 256, 320]
    if name == "nnunet":
        assert arguments["n_conv_per_stage"] == [2] * 5
    else:
        assert arguments["n_blocks_per_stage"] == [1, 3, 4, 6, 6]
    assert made["batch_size"] > chosen["batch_size"]  # the patch is smaller than the planner's
    with torch.device("meta"):
        network = build_unet(made["architecture"], 1, 2)
        assert network(torch.empty(1, 1, 32, 64, 64)).shape == (1, 2, 32, 64, 64)


def test_a_batch_holds_no_more_than_a_share_of_the_dataset(recipe: Callable[..., TrainingRecipe], plan: Plan) -> None:
    settings = free(recipe, "nnunet", patch_size=(32, 32, 32))
    planner, chosen = plan(settings, shape=(32, 32, 32), cases=100)
    assert with_overrides(planner, chosen, settings)["batch_size"] == 5  # 5 % of 100 images as large as the patch
    assert chosen["batch_size"] == 5


def test_the_published_plan_of_the_panorama_baseline(recipe: Callable[..., TrainingRecipe], plan: Plan) -> None:
    """2238 images of 48 x 86 x 86 voxels at 9 x 4.5 x 4.5 mm: patch 48 x 96 x 96, batch 9, five levels."""
    settings = free(recipe, "nnunet", spacing_mm=(9.0, 4.5, 4.5))
    made = with_overrides(*plan(settings, shape=(48, 86, 86), cases=2238), settings)
    arguments = made["architecture"]["arch_kwargs"]
    assert (made["patch_size"], made["batch_size"], made["batch_dice"]) == ([48, 96, 96], 9, False)
    assert arguments["features_per_stage"] == [32, 64, 128, 256, 320]
    assert arguments["strides"] == [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]]


def test_what_a_recipe_gives_counts(recipe: Callable[..., TrainingRecipe], plan: Plan) -> None:
    settings = free(
        recipe,
        "resenc-m",
        patch_size=(16, 16, 16),
        batch_size=3,
        features=(4, 8, 8),
        blocks_per_level=(1, 1, 2),
        batch_dice=True,
    )
    made = with_overrides(*plan(settings, shape=(32, 32, 32)), settings)
    arguments = made["architecture"]["arch_kwargs"]
    assert (made["batch_size"], made["batch_dice"], arguments["features_per_stage"]) == (3, True, [4, 8, 8])
    assert arguments["n_blocks_per_stage"] == [1, 1, 2]


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        *((name, 50) for name in NNUNET),
        *(pytest.param(name, 50, marks=pytest.mark.slow) for name in LARGER),
        ("nnunet", 3),
    ],
)
def test_a_patch_of_depth_1_is_planned_as_nnunet_plans_slices(
    recipe: Callable[..., TrainingRecipe], tmp_path: Path, plan: Plan, name: str, cases: int
) -> None:
    settings = free(recipe, name, spacing_mm=(3.0, 2.0, 1.0))
    planner, chosen = plan(settings, cases=cases)
    theirs = Workspace(tmp_path, "Dataset007_Tiny").plans()["configurations"]["2d"]
    height, width = theirs["patch_size"]
    given = settings.model_copy(update={"patch_size": (1, height, width)})
    made = json.loads(json.dumps(with_overrides(planner, chosen, given)))
    assert made == {size: theirs[size] for size in SIZES}


def test_more_memory_makes_more_of_it(recipe: Callable[..., TrainingRecipe], plan: Plan) -> None:
    voxels = []
    for memory in (2, 6):
        _, chosen = plan(free(recipe, "nnunet", planner_memory_gb=memory))
        depth, height, width = chosen["patch_size"]
        voxels.append(depth * height * width * chosen["batch_size"])
    assert 2 < voxels[1] / voxels[0] < 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"patch_size": (8, 8, 8)},
            r"patch_size \(8, 8, 8\) allows 2 levels at \(3\.0, 3\.0, 3\.0\) mm, and 3 are needed",
        ),
        ({"patch_size": (30, 32, 32)}, r"patch_size \(30, 32, 32\) gives 4 levels at patch \(32, 32, 32\); choose"),
        ({"patch_size": (16, 16, 16), "features": (4, 8, 8, 8)}, r"features \(4, 8, 8, 8\) names 4"),
        (
            {"patch_size": (16, 16, 16), "blocks_per_level": (1, 1)},
            r"blocks_per_level \(1, 1\) does not fit the 3 levels",
        ),
    ],
)
def test_sizes_that_do_not_fit(
    recipe: Callable[..., TrainingRecipe], plan: Plan, changes: dict[str, Any], message: str
) -> None:
    settings = free(recipe, "nnunet", **changes)
    planner, chosen = plan(settings, shape=(32, 32, 32))
    with pytest.raises(RecipeError, match=message):
        with_overrides(planner, chosen, settings)

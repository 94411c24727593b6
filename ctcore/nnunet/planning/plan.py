"""Fingerprint, plan and preprocessing of a workspace, all by nnU-Net, with the recipe's sizes written into the plan."""

from __future__ import annotations

import contextlib
import shutil
from typing import Any

from ctcore.errors import DatasetError, RecipeError
from ctcore.json_files import write_json
from ctcore.nnunet.encoders import timm_model_of
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.one_process import in_this_process
from ctcore.nnunet.planning.architecture import describe_unet, planned_size, topology_of
from ctcore.nnunet.planning.planners import make_planner, with_overrides
from ctcore.nnunet.planning.timm_unet import describe_timm_unet
from ctcore.nnunet.provenance import check_prepared, recorded
from ctcore.nnunet.recipe import FROM_RECIPE, TrainingRecipe
from ctcore.nnunet.workspace import CONFIGURATION, PLANS_NAME, Workspace


def architecture_of(recipe: TrainingRecipe) -> dict[str, Any]:
    """Returns nnU-Net's description of the recipe's U-Net; kernels and strides are nnU-Net's for spacing and patch.

    Raises:
        RecipeError: the patch cannot be halved as often as the number of levels asks, timm's model is unsuitable, or a
            planner decides.
    """
    model = timm_model_of(recipe.encoder)
    if recipe.patch_size is None or not (recipe.features or model):
        raise RecipeError(f"planner '{recipe.planner}' of recipe '{recipe.name}' decides the architecture; run `plan`")
    if model is not None:
        _, height, width = recipe.patch_size
        return describe_timm_unet(model, (height, width))
    topology = topology_of(recipe.spacing_mm, recipe.patch_size, recipe.features, recipe.stem_stride)
    return describe_unet(recipe.encoder, topology, recipe.features, recipe.blocks)


def plan(workspace: Workspace, recipe: TrainingRecipe, *, workers: int = 1) -> dict[str, Any]:
    """Runs nnU-Net's fingerprint, planner and preprocessing; the recipe fixes the spacing and what else it gives.

    Prepared images already have the recipe's spacing, so nnU-Net's preprocessing normalises but does not resample.

    Args:
        workspace: a prepared workspace.
        recipe: the stage's recipe.
        workers: processes that read and preprocess cases; 1: this one.

    Returns:
        The plan as written to the workspace.

    Raises:
        DatasetError: nothing was prepared, or its images are single slices.
        RecipeError: the recipe's sizes do not fit together, or contradict those that the images were prepared with.
    """
    workspace.dataset_json()
    check_prepared(workspace, recipe)
    _check_sizes(recipe)  # before hours of work, and with the plan of before unharmed
    with (
        recorded(workspace.planned_with_file, recipe),
        nnunet_environment(workspace.root),
        contextlib.ExitStack() as pools,
    ):
        from nnunetv2.experiment_planning.plan_and_preprocess_api import (
            extract_fingerprint_dataset,
            preprocess_dataset,
        )

        if workers == 1:
            pools.enter_context(in_this_process())
        extract_fingerprint_dataset(workspace.dataset_id, num_processes=workers, verbose=False, show_progress_bar=False)
        planner = make_planner(workspace, recipe)
        planner.plan_experiment()
        plans = workspace.plans()
        configuration = plans["configurations"].get(CONFIGURATION)
        if configuration is None:
            raise DatasetError(f"the images of '{workspace.raw}' are single slices; a localizer needs volumes")
        sizes = _sizes_of(recipe) if recipe.planner == FROM_RECIPE else with_overrides(planner, configuration, recipe)
        configuration.update(sizes, spacing=list(recipe.spacing_mm))
        plans["configurations"] = {CONFIGURATION: configuration}
        write_json(workspace.plans_file, plans)
        # nnU-Net would keep what is newer than its source, a copy that was cut by a kill too.
        shutil.rmtree(workspace.preprocessed / "gt_segmentations", ignore_errors=True)
        preprocess_dataset(
            workspace.dataset_id,
            PLANS_NAME,
            configurations=[CONFIGURATION],
            num_processes=[workers],
            show_progress_bar=False,
        )
    return plans


def _check_sizes(recipe: TrainingRecipe) -> None:
    if recipe.planner == FROM_RECIPE:
        architecture_of(recipe)
    elif recipe.patch_size is not None:
        topology_of(recipe.spacing_mm, recipe.patch_size, recipe.features)


def _sizes_of(recipe: TrainingRecipe) -> dict[str, Any]:
    return {
        "patch_size": list(planned_size(recipe.patch_size)) if recipe.patch_size else [],
        "batch_size": recipe.batch_size,
        "batch_dice": recipe.batch_dice,
        "architecture": architecture_of(recipe),
    }

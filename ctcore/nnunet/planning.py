"""Fingerprint, plan and preprocessing of a workspace, all by nnU-Net, with the recipe's sizes written into the plan."""

from __future__ import annotations

from typing import Any

from ctcore.errors import RecipeError
from ctcore.files import write_json
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import CONFIGURATION, PLANS_NAME, Workspace

MIN_FEATURE_MAP = 4
"""nnU-Net's smallest edge of a feature map."""

UNET_CLASSES = {
    "plain": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "resenc": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
}


def architecture_of(recipe: TrainingRecipe) -> dict[str, Any]:
    """Returns nnU-Net's description of the recipe's U-Net; kernels and strides are nnU-Net's for spacing and patch.

    Raises:
        RecipeError: the patch cannot be halved as often as the number of levels asks.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    levels = len(recipe.features)
    _, strides, kernels, patch, _ = get_pool_and_conv_props(
        recipe.spacing_mm, recipe.patch_size, MIN_FEATURE_MAP, levels - 1
    )
    if len(strides) != levels or tuple(int(n) for n in patch) != recipe.patch_size:
        raise RecipeError(
            f"patch_size {recipe.patch_size} gives {len(strides)} levels at patch {tuple(int(n) for n in patch)}, but"
            f" features {recipe.features} names {levels}; choose a patch divisible by the strides {strides}"
        )
    blocks = "n_blocks_per_stage" if recipe.encoder == "resenc" else "n_conv_per_stage"
    return {
        "network_class_name": UNET_CLASSES[recipe.encoder],
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": list(recipe.features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[int(k) for k in kernel] for kernel in kernels],
            "strides": [[int(s) for s in stride] for stride in strides],
            blocks: list(recipe.blocks),
            "n_conv_per_stage_decoder": [1 if recipe.encoder == "resenc" else 2] * (levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plan(workspace: Workspace, recipe: TrainingRecipe, *, workers: int = 1) -> dict[str, Any]:
    """Runs nnU-Net's fingerprint, planner and preprocessing; the recipe fixes spacing, patch, batch and widths.

    Prepared images already have the recipe's spacing, so nnU-Net's preprocessing normalises but does not resample.

    Args:
        workspace: a prepared workspace.
        recipe: the stage's recipe.
        workers: processes that read and preprocess cases.

    Returns:
        The plan as written to the workspace.

    Raises:
        DatasetError: nothing was prepared.
        RecipeError: the recipe's sizes do not fit together.
    """
    workspace.dataset_json()
    architecture = architecture_of(recipe)
    with nnunet_environment(workspace.root):
        from nnunetv2.experiment_planning.plan_and_preprocess_api import (
            extract_fingerprint_dataset,
            plan_experiment_dataset,
            preprocess_dataset,
        )

        extract_fingerprint_dataset(workspace.dataset_id, num_processes=workers, verbose=False, show_progress_bar=False)
        plan_experiment_dataset(workspace.dataset_id, overwrite_target_spacing=recipe.spacing_mm)
        plans = workspace.plans()
        configuration = plans["configurations"][CONFIGURATION]
        configuration.update(
            spacing=list(recipe.spacing_mm),
            patch_size=list(recipe.patch_size),
            batch_size=recipe.batch_size,
            batch_dice=recipe.batch_dice,
            architecture=architecture,
        )
        plans["configurations"] = {CONFIGURATION: configuration}
        # nnU-Net would bring the coarsest axis first; volumes stay in (z, y, x) order in training as in inference.
        plans["transpose_forward"] = plans["transpose_backward"] = [0, 1, 2]
        write_json(workspace.plans_file, plans)
        preprocess_dataset(
            workspace.dataset_id,
            PLANS_NAME,
            configurations=[CONFIGURATION],
            num_processes=[workers],
            show_progress_bar=False,
        )
    return plans

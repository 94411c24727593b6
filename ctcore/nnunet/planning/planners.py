"""nnU-Net's planners, the default one and those of residual encoders, and what of a recipe replaces their choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ctcore.errors import RecipeError
from ctcore.nnunet.planning.architecture import describe_unet, planned_size, topology_of
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import PLANS_NAME, Workspace


def make_planner(workspace: Workspace, recipe: TrainingRecipe) -> Any:
    """Returns the planner that a recipe names, for a workspace whose fingerprint is taken, inside its environment.

    Whatever the planner, its plan is written as `nnUNetPlans.json`, at the recipe's spacing, with axes as (z, y, x):
    nnU-Net would bring the coarsest axis first.
    """
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners as resenc

    classes = {
        "recipe": ExperimentPlanner,  # for all but the sizes
        "nnunet": ExperimentPlanner,
        "resenc-m": resenc.nnUNetPlannerResEncM,
        "resenc-l": resenc.nnUNetPlannerResEncL,
        "resenc-xl": resenc.nnUNetPlannerResEncXL,
    }
    memory = {} if recipe.planner_memory_gb is None else {"gpu_memory_target_in_gb": recipe.planner_memory_gb}
    return classes[recipe.planner](
        workspace.dataset_id,
        plans_name=PLANS_NAME,
        overwrite_target_spacing=[float(n) for n in recipe.spacing_mm],
        suppress_transpose=True,
        **memory,
    )


def with_overrides(planner: Any, chosen: Mapping[str, Any], recipe: TrainingRecipe) -> dict[str, Any]:
    """Returns patch, batch and architecture: the planner's, but for what the recipe gives.

    With another patch, levels and strides follow from nnU-Net's rules for it, widths and blocks are the planner's for
    that many levels, and the batch size is the one that the planner would choose for it. A patch of depth 1 has what
    the planner gives its 2-D networks.

    Args:
        planner: nnU-Net's planner.
        chosen: the configuration that it chose.
        recipe: may give patch_size, batch_size, features, blocks_per_level and batch_dice.

    Raises:
        RecipeError: the sizes do not fit together, or the patch allows fewer than three levels.
    """
    depth, height, width = (int(n) for n in recipe.patch_size or chosen["patch_size"])
    patch = (depth, height, width)
    topology = topology_of(recipe.spacing_mm, patch, recipe.features)
    widest = planner.UNet_max_features_2d if topology.dims == 2 else planner.UNet_max_features_3d
    features = recipe.features or [
        min(widest, planner.UNet_base_num_features * 2**level) for level in range(topology.levels)
    ]
    blocks = recipe.blocks_per_level or planner.UNet_blocks_per_stage_encoder[: topology.levels]
    if len(blocks) != topology.levels:
        raise RecipeError(f"blocks_per_level {blocks} does not fit the {topology.levels} levels of patch_size {patch}")
    architecture = describe_unet(recipe.encoder, topology, features, blocks)
    batch_dice = topology.dims == 2 or chosen["batch_dice"]  # of slices nnU-Net always takes it over the batch
    return {
        "patch_size": list(planned_size(patch)),
        "batch_size": recipe.batch_size or batch_size_for(planner, chosen, planned_size(patch), architecture),
        "batch_dice": batch_dice if recipe.batch_dice is None else recipe.batch_dice,
        "architecture": architecture,
    }


def batch_size_for(
    planner: Any, chosen: Mapping[str, Any], patch: tuple[int, ...], architecture: Mapping[str, Any]
) -> int:
    """Returns the batch size that a planner chooses for a patch, by nnU-Net's rule.

    Source: nnunetv2's `get_plans_for_configuration`: the planner's reference size of feature maps, scaled to its target
    of memory, by the size of this network's; a batch holds no more than a share of the dataset's voxels.

    Args:
        planner: nnU-Net's planner.
        chosen: the configuration that it chose for volumes.
        patch: voxels ([z,] y, x).
        architecture: description of the network.
    """
    estimate = planner.static_estimate_VRAM_usage(
        patch,
        len(planner.dataset_json["channel_names"]),
        len(planner.dataset_json["labels"]),
        architecture["network_class_name"],
        dict(architecture["arch_kwargs"]),
        tuple(architecture["_kw_requires_import"]),
    )
    size_3d, batch_3d = planner.UNet_reference_val_3d, planner.UNet_reference_val_corresp_bs_3d
    size_2d, batch_2d = planner.UNet_reference_val_2d, planner.UNet_reference_val_corresp_bs_2d
    size, batch = (size_2d, batch_2d) if len(patch) == 2 else (size_3d, batch_3d)
    reference = size * planner.UNet_vram_target_GB / planner.UNet_reference_val_corresp_GB
    by_memory = round(reference / estimate * batch)
    voxels = float(np.prod(chosen["median_image_size_in_voxels"])) * planner.dataset_json["numTraining"]
    by_dataset = round(voxels * planner.max_dataset_covered / float(np.prod(patch)))
    return int(max(min(by_memory, by_dataset), planner.UNet_min_batch_size))

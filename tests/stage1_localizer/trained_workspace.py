"""A workspace that looks trained: planned sizes and weights that are set by hand, not learned."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from ctcore.durable import write_text
from ctcore.json_files import write_json
from ctcore.nnunet.exported import unique_state
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.nnunet.training.fold import recipe_text
from ctcore.nnunet.training.fold_files import RECIPE_NAME, WEIGHTS_NAME
from ctcore.nnunet.training.trained import results_folder
from ctcore.nnunet.workspace import Workspace
from stage1_localizer.dataset import prepare
from stage1_localizer.recipe import LocalizerRecipe


def constant_state(recipe: LocalizerRecipe, *, pancreas: bool) -> dict[str, torch.Tensor]:
    """Returns weights of a network that sees pancreas everywhere, or nowhere."""
    network = build_unet(architecture_of(recipe), 1, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for name, parameter in network.named_parameters():
            if name.startswith("decoder.seg_layers") and name.endswith("bias"):
                parameter.copy_(torch.tensor([0.0, 2.0] if pancreas else [2.0, 0.0]))
    return unique_state(network)


def make_trained(source: Path, root: Path, recipe: LocalizerRecipe, folds: dict[str, bool]) -> Workspace:
    """Prepares a workspace of two folds and writes the weights of those in `folds`: True sees pancreas everywhere."""
    workspace = prepare([source], root, recipe, folds=2)
    properties = {"percentile_00_5": -100.0, "percentile_99_5": 200.0, "mean": 50.0, "std": 25.0}
    write_json(
        workspace.plans_file,
        {
            "configurations": {
                "3d_fullres": {
                    "architecture": architecture_of(recipe),
                    "patch_size": list(recipe.patch_size or ()),
                    "spacing": list(recipe.spacing_mm),
                    "batch_size": recipe.batch_size,
                }
            },
            "foreground_intensity_properties_per_channel": {"0": properties},
        },
    )
    for fold, pancreas in folds.items():
        folder = results_folder(workspace, recipe.name) / workspace.dataset_name / "trainer" / f"fold_{fold}"
        folder.mkdir(parents=True)
        write_text(folder / RECIPE_NAME, recipe_text(recipe))
        save_file(constant_state(recipe, pancreas=pancreas), folder / WEIGHTS_NAME)
    return workspace

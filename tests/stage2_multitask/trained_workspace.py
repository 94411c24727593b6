"""A planned workspace that looks trained: random weights where a training would have left its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from ctcore.durable import write_text
from ctcore.nnunet.exported import weights_file
from ctcore.nnunet.training.fold import recipe_text
from ctcore.nnunet.training.fold_files import RECIPE_NAME, WEIGHTS_NAME
from ctcore.nnunet.training.trained import results_folder
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import workspace_at
from stage2_multitask.recipe import MultiTaskRecipe


def make_trained(planned: Workspace, root: Path, recipe: MultiTaskRecipe, model: Path, folds: list[str]) -> Workspace:
    """Copies a planned workspace and gives it the weights of an exported model's folds."""
    for part in ("raw", "preprocessed"):
        shutil.copytree(planned.root / part, root / part, symlinks=True)
    workspace = workspace_at(root)
    for fold in folds:
        folder = results_folder(workspace, recipe.name) / workspace.dataset_name / "trainer" / f"fold_{fold}"
        folder.mkdir(parents=True)
        write_text(folder / RECIPE_NAME, recipe_text(recipe))
        shutil.copyfile(weights_file(model, fold), folder / WEIGHTS_NAME)
    return workspace

"""Training the localizer, and exporting it for inference."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from ctcore.nnunet.exported import CheckpointChoice, save_model
from ctcore.nnunet.training import TrainingOptions, normalization_of, train_fold, trained_folds, trained_state
from ctcore.nnunet.workspace import CONFIGURATION
from stage1_localizer.dataset import LABELS, workspace_at
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe


def train(root: Path, recipe: LocalizerRecipe, fold: str, **options: Unpack[TrainingOptions]) -> Path:
    """Trains one fold of the localizer (Dice + cross-entropy, nnU-Net's loss); returns its folder."""
    from ctcore.nnunet.trainer import RecipeTrainer

    return train_fold(workspace_at(root), recipe, fold, RecipeTrainer, **options)


def export(
    root: Path, recipe: LocalizerRecipe, output: Path, *, trained_on: str, checkpoint: CheckpointChoice = "last"
) -> LocalizerModel:
    """Writes the trained folds as a stage folder.

    Args:
        root: the workspace.
        recipe: the recipe that was trained.
        output: the stage folder to write.
        trained_on: the training data in words; shown wherever results are.
        checkpoint: whether to export the last weights or those of the best smoothed pseudo-Dice.

    Raises:
        DatasetError: no fold of the recipe is trained, or one has no such weights.
    """
    workspace = workspace_at(root)
    plans = workspace.plans()
    folders = trained_folds(workspace, recipe.name)
    model = LocalizerModel(
        architecture=plans["configurations"][CONFIGURATION]["architecture"],
        spacing_mm=recipe.spacing_mm,
        patch_size=recipe.patch_size,
        normalization=normalization_of(plans),
        labels=LABELS,
        folds=tuple(folders),
        mirror_axes=(0, 1, 2) if recipe.mirror else (),
        trained_on=trained_on,
        checkpoint=checkpoint,
        recipe=recipe.model_dump(mode="json"),
        margin_mm=recipe.margin_mm,
        bridge_mm=recipe.bridge_mm,
        minimum_ml=recipe.minimum_ml,
    )
    save_model(output, model, {fold: trained_state(folder, checkpoint) for fold, folder in folders.items()})
    return model

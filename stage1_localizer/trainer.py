"""Training the localizer, and exporting it for inference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from ctcore.nnunet.as_trained import recipe_as_trained
from ctcore.nnunet.exported import CheckpointChoice, save_model
from ctcore.nnunet.overrides import parse_change
from ctcore.nnunet.provenance import check_planned
from ctcore.nnunet.training import TrainingOptions, normalization_of, train_fold, trained_folds, trained_state
from stage1_localizer.dataset import LABELS, workspace_at
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe


def train(root: Path, recipe: LocalizerRecipe, fold: str, **options: Unpack[TrainingOptions]) -> Path:
    """Trains one fold of the localizer; returns its folder."""
    from ctcore.nnunet.trainer import RecipeTrainer

    return train_fold(workspace_at(root), recipe, fold, RecipeTrainer, **options)


def export(
    root: Path,
    recipe: LocalizerRecipe,
    output: Path,
    *,
    trained_on: str,
    changes: Sequence[str] = (),
    checkpoint: CheckpointChoice = "last",
) -> LocalizerModel:
    """Writes the trained folds as a stage folder, with the recipe as trained and the sizes as planned.

    Args:
        root: the workspace.
        recipe: its name says which folds; its values count for the changed fields alone.
        output: the stage folder to write.
        trained_on: the training data in words; shown wherever results are.
        changes: fields given on the command line, as `FIELD=VALUE`.
        checkpoint: whether to export the last weights or those of the best smoothed pseudo-Dice.

    Raises:
        DatasetError: no fold of the recipe is trained, or one has no such weights.
        RecipeError: the folds were trained with different values, the workspace was planned again with others since, or
            a field is changed that training used.
    """
    workspace = workspace_at(root)
    plans, configuration = workspace.plans(), workspace.configuration()
    folders = trained_folds(workspace, recipe.name)
    recipe = recipe_as_trained(folders, recipe, [parse_change(text).field for text in changes])
    check_planned(workspace, recipe)
    model = LocalizerModel(
        architecture=configuration["architecture"],
        spacing_mm=recipe.spacing_mm,
        patch_size=configuration["patch_size"],
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

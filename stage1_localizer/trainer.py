"""Training the localizer, and exporting it for inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from ctcore.nnunet.exported import CheckpointChoice
from ctcore.nnunet.training.as_trained import trained_recipe
from ctcore.nnunet.training.fold import TrainingOptions, train_fold
from stage1_localizer.dataset import workspace_at
from stage1_localizer.evaluate import validation_margins
from stage1_localizer.model import LocalizerModel, write_model
from stage1_localizer.recipe import LocalizerRecipe


def train(root: Path, recipe: LocalizerRecipe, fold: str, **options: Unpack[TrainingOptions]) -> Path:
    """Trains one fold of the localizer; returns its folder."""
    from ctcore.nnunet.training.trainer import RecipeTrainer

    return train_fold(workspace_at(root), recipe, fold, RecipeTrainer, **options)


def export(
    root: Path,
    recipe: LocalizerRecipe,
    output: Path,
    *,
    trained_on: str,
    changes: Sequence[str] = (),
    checkpoint: CheckpointChoice = "last",
    progress: Callable[[int, int], None] | None = None,
) -> LocalizerModel:
    """Writes the trained folds as a stage folder; where the recipe's margin is `validation`, it is found first.

    Args:
        root: the workspace.
        recipe: its name says which folds; its values count for the changed fields alone.
        output: the stage folder to write.
        trained_on: the training data in words; shown wherever results are.
        changes: fields given on the command line, as `FIELD=VALUE`.
        checkpoint: whether to export the last weights or those of the best smoothed pseudo-Dice.
        progress: called with cases done and in all, where margins are found.

    Raises:
        DatasetError: no fold of the recipe is trained, or one has no such weights.
        RecipeError: the folds were trained with different values, the workspace was planned again with others since, or
            a field is changed that training used.
        RequestError, CaseError: margins could not be found; see `stage1_localizer.evaluate.validation_margins`.
    """
    workspace = workspace_at(root)
    folders, recipe = trained_recipe(workspace, recipe, changes)
    margin, found = recipe.margin_mm, None
    if isinstance(margin, str):
        found = validation_margins(workspace, recipe, folders, checkpoint=checkpoint, progress=progress)
        margin = found.margin_mm
    return write_model(
        workspace, recipe, folders, output, trained_on=trained_on, margin_mm=margin, found=found, checkpoint=checkpoint
    )

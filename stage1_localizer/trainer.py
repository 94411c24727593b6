"""Training the localizer, and exporting it for inference."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import RequestError
from ctcore.nnunet.exported import save_model
from ctcore.nnunet.training import normalization_of, train_fold, trained_folds, trained_state
from ctcore.nnunet.workspace import CONFIGURATION
from stage1_localizer.dataset import LABELS, workspace_at
from stage1_localizer.margins import Millimetres
from stage1_localizer.model import LocalizerModel
from stage1_localizer.recipe import LocalizerRecipe

if TYPE_CHECKING:
    from ctcore.nnunet.trainer import Progress

ALL = "all"
"""The fold that trains on every case."""


def train(
    root: Path,
    recipe: LocalizerRecipe,
    fold: str,
    *,
    device: str = "cpu",
    resume: bool = True,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Trains one fold of the localizer (Dice + cross-entropy, nnU-Net's loss); returns its folder."""
    from ctcore.nnunet.trainer import RecipeTrainer

    return train_fold(
        workspace_at(root),
        recipe,
        fold,
        RecipeTrainer,
        device=device,
        resume=resume,
        workers=workers,
        progress=progress,
    )


def export(
    root: Path,
    recipe: LocalizerRecipe,
    output: Path,
    *,
    trained_on: str,
    folds: Collection[str] | None = None,
    margin_mm: Millimetres | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LocalizerModel:
    """Writes the trained folds as a stage folder; where the recipe's margin is `validation`, it is found first.

    Args:
        root: the workspace.
        recipe: the recipe that was trained.
        output: the stage folder to write.
        trained_on: the training data in words; shown wherever results are.
        folds: folds to write; all that are trained if not given.
        margin_mm: ROI margin (z, y, x) to write instead of the recipe's.
        progress: called with cases done and in all, where margins are found.

    Raises:
        DatasetError: no fold of the recipe is trained.
        RequestError, CaseError: margins could not be found; see `stage1_localizer.evaluate.validation_margins`.
    """
    workspace = workspace_at(root)
    plans = workspace.plans()
    folders = {
        fold: folder for fold, folder in trained_folds(workspace, recipe.name).items() if folds is None or fold in folds
    }
    margin, found = margin_mm or recipe.margin_mm, None
    if isinstance(margin, str):
        if set(folders) == {ALL}:
            raise RequestError("fold 'all' leaves no cases to choose margins by; give margin_mm three numbers")
        from stage1_localizer.evaluate import validation_margins

        numbered = [fold for fold in folders if fold != ALL]
        found = validation_margins(root, recipe, folds=numbered, progress=progress)
        margin = found.margin_mm
    model = LocalizerModel(
        architecture=plans["configurations"][CONFIGURATION]["architecture"],
        spacing_mm=recipe.spacing_mm,
        patch_size=recipe.patch_size,
        normalization=normalization_of(plans),
        labels=LABELS,
        folds=tuple(folders),
        mirror_axes=(0, 1, 2) if recipe.mirror else (),
        trained_on=trained_on,
        recipe=recipe.model_dump(mode="json"),
        margin_mm=margin,
        margins_found=found,
        bridge_mm=recipe.bridge_mm,
        minimum_ml=recipe.minimum_ml,
    )
    save_model(output, model, {fold: trained_state(folder) for fold, folder in folders.items()})
    return model

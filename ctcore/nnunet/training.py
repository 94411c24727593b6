"""Running one fold of a trainer in a workspace, and reading back what it trained."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.errors import DatasetError, RecipeError, RequestError
from ctcore.files import read_json, write_atomic, write_text
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.provenance import check_planned, differences
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import CONFIGURATION, Workspace

if TYPE_CHECKING:
    import torch

    from ctcore.nnunet.exported import Normalization
    from ctcore.nnunet.trainer import Progress, RecipeTrainer

WEIGHTS_NAME = "weights.safetensors"
RECIPE_NAME = "recipe.json"
LATEST_NAME = "checkpoint_latest.pth"


def results_folder(workspace: Workspace, recipe_name: str) -> Path:
    """What nnU-Net calls its results folder, one for each recipe."""
    return workspace.root / "results" / recipe_name


def train_fold(
    workspace: Workspace,
    recipe: TrainingRecipe,
    fold: str,
    make_trainer: Callable[..., RecipeTrainer],
    *,
    device: str = "cpu",
    resume: bool = True,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Trains one fold and writes the weights that inference should use.

    Args:
        workspace: a planned workspace.
        recipe: hyper-parameters.
        fold: `0`, `1`, ... of `splits_final.json`, or `all`.
        make_trainer: class of the trainer; called with nnU-Net's constructor arguments.
        device: `cpu` or `cuda`.
        resume: whether to go on from the last checkpoint if there is one.
        workers: background processes that augment; 0 augments between steps.
        progress: called after every epoch.

    Returns:
        The fold's folder; it holds `weights.safetensors`, the recipe as trained, and nnU-Net's log and plot.

    Raises:
        DatasetError: nothing was planned, or the fold is not in the split.
        RecipeError: the workspace was planned with other values, or the fold begun with others under the same name.
    """
    import torch
    from safetensors.torch import save_file

    from ctcore.nnunet.exported import unique_state

    plans = workspace.plans() | {"continue_training": False}
    check_planned(workspace, recipe)
    check_fold(workspace, fold)
    report = _on_this_console(progress) if progress is not None else None
    results = results_folder(workspace, recipe.name)
    with nnunet_environment(workspace.root, results=results, augmentation_workers=workers):
        trainer = make_trainer(
            plans=plans,
            configuration=CONFIGURATION,
            fold=fold if fold == "all" else int(fold),
            dataset_json=workspace.dataset_json(),
            device=torch.device(device),
        )
        folder = Path(trainer.output_folder)
        if resume:
            check_same_recipe(folder, recipe)
        if resume and (folder / WEIGHTS_NAME).is_file():
            return folder
        write_text(folder / RECIPE_NAME, recipe_text(recipe))
        trainer.configure(recipe, report)
        latest = folder / LATEST_NAME
        if not resume:  # else a restart that is interrupted would count as trained, or go on from the run before
            (folder / WEIGHTS_NAME).unlink(missing_ok=True)
            latest.unlink(missing_ok=True)
        elif latest.is_file():
            trainer.load_checkpoint(str(latest))
        trainer.run_training()
    state = unique_state(trainer.trained_network())
    write_atomic(folder / WEIGHTS_NAME, lambda partial: save_file(state, partial))
    return folder


def recipe_text(recipe: TrainingRecipe) -> str:
    """Returns a recipe as the fold's folder keeps it."""
    return recipe.model_dump_json(indent=2) + "\n"


def check_same_recipe(folder: Path, recipe: TrainingRecipe) -> None:
    """Checks that a fold that was begun earlier was begun with this recipe.

    Raises:
        RecipeError: it was begun with other values under the same name.
    """
    path = folder / RECIPE_NAME
    if not path.is_file():
        return
    found = differences(read_json(path), recipe.model_dump(mode="json"), type(recipe).model_fields)
    if found:
        raise RecipeError(
            f"'{folder}' was begun with other values of recipe '{recipe.name}' ({found}); give this run a name of its"
            f" own with --set name={recipe.name}-2, or begin again with --restart"
        )


def _on_this_console(progress: Progress) -> Progress:
    """Returns a callback that writes where stdout points now, not where it points while nnU-Net is kept quiet."""
    console = sys.stdout

    def report(done: int, total: int, figures: dict[str, float]) -> None:
        with contextlib.redirect_stdout(console):
            progress(done, total, figures)

    return report


def check_fold(workspace: Workspace, fold: str) -> None:
    """Checks that a fold can be trained.

    Raises:
        RequestError: the fold is neither `all` nor a number.
        DatasetError: the split has no such fold.
    """
    if fold == "all":
        return
    if not fold.isdigit():
        raise RequestError(f"fold '{fold}' is neither a number nor 'all'")
    splits = read_json(workspace.preprocessed / "splits_final.json")
    if int(fold) >= len(splits):
        raise DatasetError(f"fold {fold} is not in the split, which has folds 0 to {len(splits) - 1}")


def trained_folds(workspace: Workspace, recipe_name: str) -> dict[str, Path]:
    """Returns the folders of a recipe's folds that are trained to the end, by fold.

    Raises:
        DatasetError: there is none.
    """
    folder = results_folder(workspace, recipe_name)
    pattern = f"{workspace.dataset_name}/*/fold_*/{WEIGHTS_NAME}"
    files = sorted(folder.glob(pattern))
    if not files:
        others = sorted({path.relative_to(folder.parent).parts[0] for path in folder.parent.glob(f"*/{pattern}")})
        known = f", unless --set name={' or name='.join(others)} was meant" if others else ""
        raise DatasetError(f"recipe '{recipe_name}' has no trained fold in '{folder}'; run `train` first{known}")
    return {path.parent.name.removeprefix("fold_"): path.parent for path in files}


def trained_state(folder: Path) -> dict[str, torch.Tensor]:
    """Reads the weights that a fold's folder ended with."""
    from safetensors.torch import load_file

    state: dict[str, torch.Tensor] = load_file(folder / WEIGHTS_NAME)
    return state


def normalization_of(plans: dict[str, Any]) -> Normalization:
    """Returns the CT normalisation that nnU-Net fitted to the training cases."""
    from ctcore.nnunet.exported import Normalization

    properties = plans["foreground_intensity_properties_per_channel"]["0"]
    return Normalization(
        lower=properties["percentile_00_5"],
        upper=properties["percentile_99_5"],
        mean=properties["mean"],
        std=properties["std"],
    )

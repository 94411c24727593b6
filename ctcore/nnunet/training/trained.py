"""Folds that are trained to the end, and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.errors import DatasetError
from ctcore.nnunet.exported import CheckpointChoice
from ctcore.nnunet.training.fold_files import BEST_HEAD_WEIGHTS_NAME, BEST_WEIGHTS_NAME, WEIGHTS_NAME
from ctcore.nnunet.workspace import Workspace

if TYPE_CHECKING:
    import torch


def results_folder(workspace: Workspace, recipe_name: str) -> Path:
    """What nnU-Net calls its results folder, one for each recipe."""
    return workspace.root / "results" / recipe_name


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


def trained_state(folder: Path, checkpoint: CheckpointChoice = "last") -> dict[str, torch.Tensor]:
    """Reads the weights of a trained fold.

    Raises:
        DatasetError: such weights were not kept.
    """
    from safetensors.torch import load_file

    names = {"last": (WEIGHTS_NAME,), "best": (BEST_WEIGHTS_NAME,), "best-head": (WEIGHTS_NAME, BEST_HEAD_WEIGHTS_NAME)}
    state: dict[str, torch.Tensor] = {}
    for path in (folder / name for name in names[checkpoint]):
        if not path.is_file():
            hint = ", and a stage-2 recipe with best_head = true" if path.name == BEST_HEAD_WEIGHTS_NAME else ""
            raise DatasetError(
                f"'{path}' is missing; export with --checkpoint last, or train the fold anew with --restart{hint}"
            )
        state |= load_file(path)
    return state

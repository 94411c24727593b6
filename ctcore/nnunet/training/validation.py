"""Which trained folds are measured, and on which cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ctcore.errors import RequestError
from ctcore.json_files import read_json
from ctcore.nnunet.training.fold_files import ALL
from ctcore.nnunet.workspace import Workspace


def folds_to_measure(trained: Collection[str], asked: Sequence[str]) -> list[str]:
    """Returns the folds to measure: those asked for, else all trained ones that leave cases to measure them on.

    Args:
        trained: folds that are trained to their end.
        asked: what the user asked for.

    Raises:
        RequestError: a fold is not trained to its end.
    """
    chosen = list(dict.fromkeys(asked)) or [fold for fold in trained if fold != ALL] or [ALL]
    missing = [fold for fold in chosen if fold != ALL and fold not in trained]
    if missing:
        raise RequestError(f"fold {', '.join(missing)} is not trained to its end; trained: {', '.join(trained)}")
    return chosen


def validation_ids(workspace: Workspace, fold: str) -> list[str]:
    """Returns the ids of the cases that a fold did not train on.

    Raises:
        RequestError: the fold has none.
    """
    if fold == ALL:
        raise RequestError("fold 'all' trains on every case, so that none is left to evaluate; choose a numbered fold")
    ids: list[str] = read_json(workspace.preprocessed / "splits_final.json")[int(fold)]["val"]
    return ids

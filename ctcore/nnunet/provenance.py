"""What a workspace was prepared and planned with, so that a later step with other values is refused, not mixed in."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ctcore.errors import DatasetError, RecipeError
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import Workspace


@contextlib.contextmanager
def recorded(path: Path, recipe: TrainingRecipe) -> Iterator[None]:
    """Writes which recipe a step of the work follows: at its start as unfinished, at its end as finished."""
    values = recipe.model_dump(mode="json")
    write_json(path, {"finished": False, "recipe": values})
    yield
    write_json(path, {"finished": True, "recipe": values})


def check_prepared(workspace: Workspace, recipe: TrainingRecipe) -> None:
    """Checks that the images were prepared with what a recipe says of them.

    Raises:
        DatasetError: `prepare` was interrupted.
        RecipeError: they were prepared with other values.
    """
    _check(workspace, workspace.prepared_with_file, recipe, recipe.fixed_by_prepare, "prepare")


def check_planned(workspace: Workspace, recipe: TrainingRecipe) -> None:
    """Checks that a workspace was prepared and planned with what a recipe says of it.

    Raises:
        DatasetError: `prepare` or `plan` was interrupted.
        RecipeError: it was prepared or planned with other values.
    """
    check_prepared(workspace, recipe)
    fields = (*recipe.fixed_by_prepare, *recipe.fixed_by_plan)
    _check(workspace, workspace.planned_with_file, recipe, fields, "plan")


def _check(workspace: Workspace, path: Path, recipe: TrainingRecipe, fields: Collection[str], command: str) -> None:
    if not path.is_file():  # a workspace from before this was recorded
        return
    record = read_json(path)
    if not record["finished"]:
        raise DatasetError(f"`{command}` did not finish in '{workspace.root}'; run it again")
    found = differences(record["recipe"], recipe.model_dump(mode="json"), fields)
    if found:
        raise RecipeError(
            f"recipe '{recipe.name}' contradicts what `{command}` did in '{workspace.root}': {found};"
            f" run `{command}` again with this recipe, or take another --workspace"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], fields: Collection[str]) -> str:
    """Returns the fields in which two recipes differ, with both values; a field that `before` lacks does not count.

    Args:
        before: a recipe as JSON has it.
        now: another.
        fields: those to compare.
    """
    different = [name for name in fields if name in before and before[name] != now[name]]
    return ", ".join(f"{name} was {before[name]} and is {now[name]}" for name in different)

"""The recipe that folds were trained with, for what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from ctcore.errors import RecipeError, describe_validation
from ctcore.json_files import read_json
from ctcore.nnunet.overrides import parse_change
from ctcore.nnunet.provenance import check_planned, differences
from ctcore.nnunet.recipe import RecipeT
from ctcore.nnunet.training.fold_files import RECIPE_NAME
from ctcore.nnunet.training.trained import trained_folds
from ctcore.nnunet.workspace import Workspace


def trained_recipe(
    workspace: Workspace, asked: RecipeT, changes: Sequence[str] = ()
) -> tuple[dict[str, Path], RecipeT]:
    """Returns the folders of a recipe's trained folds, and the recipe that they were trained with.

    Args:
        workspace: where they were trained.
        asked: its name says which folds; its values count for the changed fields alone.
        changes: fields given on the command line, as `FIELD=VALUE`.

    Raises:
        DatasetError: no fold of the recipe is trained.
        RecipeError: as `recipe_as_trained`, or the workspace was planned again with other values since.
    """
    folders = trained_folds(workspace, asked.name)
    recipe = recipe_as_trained(folders, asked, [parse_change(text).field for text in changes])
    check_planned(workspace, recipe)
    return folders, recipe


def recipe_as_trained(folders: Mapping[str, Path], asked: RecipeT, changed: Collection[str] = ()) -> RecipeT:
    """Returns the recipe in which all folds agree, with what may change after training as asked for.

    Args:
        folders: the folds' folders.
        asked: the recipe as the command has it: its class, and the values of the `changed` fields.
        changed: fields that were given on the command line.

    Raises:
        RecipeError: the folds differ, or a field is changed that training used.
    """
    trained = {fold: read_recipe(folder, type(asked)) for fold, folder in folders.items()}
    (first, recipe), *others = trained.items()
    values, fields = recipe.model_dump(mode="json"), type(asked).model_fields
    for fold, other in others:
        found = differences(values, other.model_dump(mode="json"), fields)
        if found:
            raise RecipeError(
                f"folds {first} and {fold} of recipe '{recipe.name}' were trained with different values (fold {first}"
                f" was, fold {fold} is): {found}; train one of them again with --restart"
            )
    wanted = asked.model_dump(mode="json")
    found = differences(values, wanted, [name for name in changed if name not in asked.free_after_training])
    if found:
        free = ", ".join(asked.free_after_training) or "no field"
        raise RecipeError(f"training used another value: {found}; an export can change {free}")
    return type(asked).model_validate(values | {name: wanted[name] for name in changed})


def read_recipe(folder: Path, kind: type[RecipeT]) -> RecipeT:
    """Reads the recipe that a fold's folder keeps.

    Raises:
        RecipeError: it is missing, or not a recipe of this stage.
    """
    path = folder / RECIPE_NAME
    if not path.is_file():
        raise RecipeError(f"'{path}' is missing; train this fold again with --restart")
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise RecipeError(f"'{path}': {describe_validation(error)}; train this fold again with --restart") from error

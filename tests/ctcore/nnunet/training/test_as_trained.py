"""The recipe that folds were trained with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from ctcore.durable import write_text
from ctcore.errors import RecipeError
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.as_trained import read_recipe, recipe_as_trained
from ctcore.nnunet.training.fold import recipe_text
from ctcore.nnunet.training.fold_files import RECIPE_NAME

MakeRecipe = Callable[..., TrainingRecipe]


class Boxed(TrainingRecipe):
    """A recipe with a field that training does not use."""

    free_after_training: ClassVar[tuple[str, ...]] = ("margin",)
    margin: float = 5.0


@pytest.fixture
def boxed(recipe: MakeRecipe) -> Callable[..., Boxed]:
    """Makes such a recipe; keywords replace values."""
    return lambda **changes: Boxed(**(recipe().model_dump() | changes))


@pytest.fixture
def folds(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Writes a folder for each recipe that was trained."""

    def write(*recipes: TrainingRecipe) -> dict[str, Path]:
        for fold, recipe in enumerate(recipes):
            write_text(tmp_path / f"fold_{fold}" / RECIPE_NAME, recipe_text(recipe))
        return {str(fold): tmp_path / f"fold_{fold}" for fold in range(len(recipes))}

    return write


def test_the_values_are_those_of_the_folds(boxed: Callable[..., Boxed], folds: Callable[..., dict[str, Path]]) -> None:
    trained = boxed(epochs=9, margin=7.0)
    found = recipe_as_trained(folds(trained, trained), boxed(epochs=50, margin=50.0))
    assert found == trained
    assert isinstance(found, Boxed)


def test_folds_must_agree(boxed: Callable[..., Boxed], folds: Callable[..., dict[str, Path]]) -> None:
    folders = folds(boxed(), boxed(), boxed(epochs=9))
    with pytest.raises(RecipeError, match=r"folds 0 and 2 of recipe 'tiny' .*: epochs was 4 and is 9; train one"):
        recipe_as_trained(folders, boxed())


def test_what_training_did_not_use_may_change(
    boxed: Callable[..., Boxed], folds: Callable[..., dict[str, Path]]
) -> None:
    folders = folds(boxed(epochs=9))
    assert recipe_as_trained(folders, boxed(margin=2.0), ["margin", "name"]) == boxed(epochs=9, margin=2.0)
    assert recipe_as_trained(folders, boxed(epochs=9), ["epochs"]) == boxed(epochs=9)
    with pytest.raises(RecipeError, match="another value: epochs was 9 and is 8; an export can change margin"):
        recipe_as_trained(folders, boxed(epochs=8), ["epochs"])


def test_a_folder_without_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.json' is missing; train this fold again"):
        read_recipe(tmp_path, TrainingRecipe)
    write_text(tmp_path / RECIPE_NAME, '{"name": 5}')
    with pytest.raises(RecipeError, match=r"recipe\.json': name = 5: .*epochs is missing; train this fold again"):
        read_recipe(tmp_path, TrainingRecipe)

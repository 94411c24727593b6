"""What a stage-1 recipe fixes beyond training: the region of interest."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ctcore.nnunet.recipe import Margin, TrainingRecipe, load_recipe

RECIPES = Path(__file__).parent / "recipes"


class LocalizerRecipe(TrainingRecipe):
    """A stage-1 recipe.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI.
        minimum_ml: smallest volume of a connected component that is taken for a pancreas.
    """

    margin_mm: tuple[Margin, Margin, Margin]
    minimum_ml: Annotated[float, Field(ge=0)] = 2.0


def load(name_or_path: str) -> LocalizerRecipe:
    """Reads a stage-1 recipe by name or from a `.toml` file (RecipeError where it cannot)."""
    return load_recipe(LocalizerRecipe, name_or_path, RECIPES)

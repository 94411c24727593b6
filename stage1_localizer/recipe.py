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
        bridge_mm: pieces of the mask no farther apart than this are one cluster; the largest is the pancreas.
        minimum_ml: smallest volume of that cluster that is taken for a pancreas.
    """

    margin_mm: tuple[Margin, Margin, Margin]
    bridge_mm: Margin = 40.0
    minimum_ml: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0


def load(name_or_path: str) -> LocalizerRecipe:
    """Reads a stage-1 recipe by name or from a `.toml` file (RecipeError where it cannot)."""
    return load_recipe(LocalizerRecipe, name_or_path, RECIPES)

"""What a stage-1 recipe fixes beyond training: the region of interest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from ctcore.nnunet.recipe import Margin, TrainingRecipe, load_recipe

RECIPES = Path(__file__).parent / "recipes"

VALIDATION = "validation"


def _form(value: Any) -> str:
    return VALIDATION if isinstance(value, str) else ""


MarginSetting = Annotated[
    Annotated[tuple[Margin, Margin, Margin], Tag("")] | Annotated[Literal["validation"], Tag(VALIDATION)],
    Discriminator(_form),
]
"""Three numbers, or the word; decided by its form, so that an error speaks of the one that was meant."""


class LocalizerRecipe(TrainingRecipe):
    """A stage-1 recipe.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI; `validation`: the smallest that
            keep every validation lesion of the trained folds inside, found by `evaluate` and `export`.
        margin_reserve_mm: added to the margins found so. The default is two voxels of a 5 mm grid, the step by which a
            face of the mask moves.
        bridge_mm: pieces of the mask no farther apart than this are one cluster; the largest is the pancreas.
        minimum_ml: smallest volume of that cluster that is taken for a pancreas.
    """

    free_after_training: ClassVar[tuple[str, ...]] = ("margin_mm", "margin_reserve_mm", "bridge_mm", "minimum_ml")

    margin_mm: MarginSetting = "validation"
    margin_reserve_mm: Margin = 10.0
    bridge_mm: Margin = 40.0
    minimum_ml: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0


def load(name_or_path: str, changes: Sequence[str] = ()) -> LocalizerRecipe:
    """Reads a stage-1 recipe by name or from a `.toml` file, with fields replaced (RecipeError where it cannot)."""
    return load_recipe(LocalizerRecipe, name_or_path, RECIPES, changes)

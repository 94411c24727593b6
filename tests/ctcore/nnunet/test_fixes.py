"""Named fixes of published values."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.errors import RecipeError
from ctcore.nnunet.fixes import apply_fixes
from ctcore.nnunet.recipe import TrainingRecipe, load_recipe
from tests.ctcore.nnunet import tiny_recipe

VALUES = {
    "name": "report",
    "epochs": 100,
    "head": {"kind": "gap", "pooling": "average"},
    "fixes": {
        "longer": {"why": "it never trained", "epochs": 200},
        "pooling": {"why": "most of a patch is no pancreas", "head": {"pooling": "weighted"}},
        "other-head": {"why": "a replaced table keeps nothing", "head": {"kind": "fpn"}},
    },
}
GAP = {"kind": "gap", "pooling": "average"}
WEIGHTED = {"kind": "gap", "pooling": "weighted"}
ALL = ["longer", "pooling", "other-head"]


@pytest.mark.parametrize(
    ("variant", "name", "epochs", "head", "fixes"),
    [
        ("published", "report.published", 100, GAP, []),
        ("longer", "report.longer", 200, GAP, ["longer"]),
        ("longer,pooling", "report.longer.pooling", 200, WEIGHTED, ["longer", "pooling"]),
        ("", "report", 200, {"kind": "fpn"}, ALL),
    ],
)
def test_variants(variant: str, name: str, epochs: int, head: dict[str, str], fixes: list[str]) -> None:
    expected = {"name": name, "epochs": epochs, "head": head, "fixes": fixes}
    assert apply_fixes(VALUES, variant, "recipe") == expected


def test_an_unknown_variant() -> None:
    with pytest.raises(RecipeError, match=r"it has no variant 'fixed'; choose one of published, longer, pooling"):
        apply_fixes(VALUES, "fixed", "recipe 'report.toml@fixed'")


@pytest.mark.parametrize("fixes", [{"longer": {"epochs": 2}}, {"longer": 2}, ["longer"]])
def test_a_fix_that_does_not_say_why(fixes: object) -> None:
    with pytest.raises(RecipeError, match=r"each fix is a table \[fixes.NAME\] with a text 'why'"):
        apply_fixes({"name": "report", "fixes": fixes}, "", "recipe")


RECIPE = (
    tiny_recipe.TEXT
    + """\

[fixes.calm]
why = "0.01 is too much for Adam"
learning_rate = 1e-3
"""
)


def test_recipes_by_variant(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")

    def read(name: str, *changes: str) -> tuple[str, float, tuple[str, ...]]:
        recipe = load_recipe(TrainingRecipe, name, tmp_path, changes)
        return recipe.name, recipe.learning_rate, recipe.fixes

    assert read("tiny") == ("tiny", 1e-3, ("calm",))
    assert read("tiny@published") == ("tiny.published", 0.01, ())
    assert read("tiny@calm", "learning_rate=0.5") == ("tiny.calm", 0.5, ("calm",))
    assert read(f"{tmp_path}/tiny.toml@published") == ("tiny.published", 0.01, ())
    with pytest.raises(RecipeError, match=r"recipe 'tiny.toml@wild': it has no variant 'wild'"):
        read("tiny@wild")

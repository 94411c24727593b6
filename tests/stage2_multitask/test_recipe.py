"""Stage-2 recipes: the shipped ones, and values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.errors import RecipeError
from ctcore.nnunet.planning.plan import architecture_of
from stage2_multitask.recipe import RECIPES, load

SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_the_default_recipe_is_shipped() -> None:
    assert "demo" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert recipe.labels[recipe.lesion_label] == 1
    assert len(architecture_of(recipe)["arch_kwargs"]["strides"]) == len(recipe.features)


def test_an_unknown_name() -> None:
    with pytest.raises(RecipeError, match=r"recipe 'dmeo' does not exist; choose one of .*demo"):
        load("dmeo")


@pytest.mark.parametrize(
    ("lines", "quoted"),
    [
        ("margin_mm = [8.0, -1.0, 8.0]", r"margin_mm\.1 = -1\.0"),
        ("margin_jitter_mm = 9.0", r"margin_jitter_mm 9\.0 exceeds the margin 8\.0"),
        (
            "[class_loss]\nweights = [1.0]",
            r"class_loss\.weights \(1\.0,\) do not match class_names \('non-PDAC', 'PDAC'\)",
        ),
        ("[class_loss]\nweights = [1.0, 0.0]", r"class_loss\.weights\.tuple.*\.1 = 0\.0"),
        ('[class_loss]\nkind = "dice-bce"\nlabel_smoothing = 0.1', r"label_smoothing 0\.1 .* are for kind 'ce'"),
        ("[patches]\nfull_share = 0.0", r"patches\.full_share = 0\.0"),
        ("[balance]\nsegmentation = 0\nclassification = 0", r"both 0: nothing would train"),
        ('lesion_label = "tumour"', r"lesion_label 'tumour' is not among labels"),
        ('aggregation = "median"', r"aggregation = 'median'"),
        ("[phases]\nsegmentation = 0.8\nhead = 0.3", r"shares 0\.8 \+ 0\.3 exceed 1"),
        ("[phases]\nwarm_up = 0.3", r"phases\.warm_up = 0\.3: Extra inputs"),
        ('[head]\nkind = "transformer"', r"head = .*transformer"),
        ("[head]\ndropout = 1.0", r"head\.fpn\.dropout = 1\.0"),
        ("margin_mm = ", r"is not valid TOML"),
    ],
)
def test_wrong_lines_are_quoted(recipe_file: Path, tmp_path: Path, lines: str, quoted: str) -> None:
    top = recipe_file.read_text().split("\n\n", maxsplit=1)[0].splitlines()
    key = lines.split(" =", maxsplit=1)[0]
    changed = tmp_path / "changed.toml"
    changed.write_text("\n".join([*(line for line in top if not line.startswith(f"{key} =")), lines]))
    with pytest.raises(RecipeError, match=rf"recipe 'changed\.toml'.*{quoted}"):
        load(str(changed))

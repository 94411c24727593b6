"""Stage-2 recipes: the shipped ones, and values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.errors import RecipeError
from ctcore.labels import SUBTYPE_NAMES
from ctcore.nnunet.planning.plan import architecture_of
from stage2_multitask.balance_settings import RampBalance
from stage2_multitask.recipe import RECIPES, load

SYSTEMS = ("masked-gem", "slice-ensemble", "gap", "panorama-fpn", "dual-decoder")
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_the_default_recipe_is_shipped() -> None:
    assert "demo" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("variant", ["", "@published"])
def test_shipped_recipes_are_valid(name: str, variant: str) -> None:
    recipe = load(name + variant)
    assert recipe.name == name + variant.replace("@", ".")
    if recipe.planner == "recipe":
        assert len(architecture_of(recipe)["arch_kwargs"]["strides"]) == len(recipe.features)


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_fix_changes_something(name: str) -> None:
    published = load(f"{name}@published")
    fixes = load(name).fixes
    assert fixes
    for fix in fixes:
        fixed = load(f"{name}@{fix}")
        assert fixed.fixes == (fix,)
        same = {"name": published.name, "fixes": ()}
        assert fixed.model_copy(update=same) != published, fix


def test_published_values() -> None:
    by_name = {name: load(f"{name}@published") for name in SYSTEMS}
    heads = {name: recipe.head.kind for name, recipe in by_name.items()}
    assert heads == {
        "masked-gem": "masked-gem",
        "slice-ensemble": "conv-dense",
        "gap": "gap",
        "panorama-fpn": "fpn",
        "dual-decoder": "decoder",
    }
    assert [by_name[name].epochs for name in SYSTEMS] == [200, 100, 1000, 1000, 100]
    ramp = by_name["masked-gem"].balance
    assert isinstance(ramp, RampBalance)
    assert ramp.share * 200 == 25
    assert by_name["panorama-fpn"].step_share * 1000 == 75
    assert by_name["gap"].features[-1] * 3 + 3 == 963
    for name in ("masked-gem", "slice-ensemble", "gap", "dual-decoder"):
        assert by_name[name].labels == {"background": 0, "pancreas": 1, "lesion": 2}
        assert by_name[name].class_names == SUBTYPE_NAMES


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
        (
            'post_hoc_adjustment = 1.0\n[class_loss]\nweights = "inverse-frequency"',
            r"post_hoc_adjustment 1\.0 takes priors out that only plain cross-entropy leaves in .*inverse-frequency",
        ),
        (
            "post_hoc_adjustment = 1.0\n[class_loss]\nlogit_adjustment = 0.5",
            r"post_hoc_adjustment 1\.0 takes priors out .*logit_adjustment=0\.5",
        ),
        (
            'post_hoc_adjustment = 1.0\n[patches]\ncases = "balanced"',
            r"post_hoc_adjustment 1\.0 takes priors out .*patches\.cases 'balanced'",
        ),
        ("[patches]\nfull_share = 0.0", r"patches\.full_share = 0\.0"),
        ("[balance]\nsegmentation = 0\nclassification = 0", r"both 0: nothing would train"),
        ('merged_labels = { cyst = "mass" }', r"merged_labels cyst = 'mass' must name a label"),
        ('merged_labels = { veins = "lesion" }', r"merged_labels veins = 'lesion' must name a label that is not among"),
        ('lesion_label = "tumour"', r"lesion_label 'tumour' is not among labels"),
        ('lesion_labels = { PDAC = "veins" }', r"lesion_labels PDAC = 'veins' is no name of one kind of lesion"),
        (
            'lesion_labels = { PDAC = "lesion", non-PDAC = "veins" }',
            r"lesion_labels PDAC = 'lesion' is no name of one kind of lesion; .*'cystic lesion'",
        ),
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

"""Stage-1 recipes: the shipped ones, and values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctcore.errors import RecipeError
from ctcore.json_files import read_json
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of
from stage1_localizer.recipe import RECIPES, LocalizerRecipe, load

SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_the_default_recipe_is_shipped() -> None:
    assert "demo" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert len(architecture_of(recipe)["arch_kwargs"]["strides"]) == len(recipe.features)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_at_their_true_size(name: str) -> None:
    recipe = load(name)
    assert recipe.patch_size is not None
    with torch.device("meta"):
        network = build_unet(architecture_of(recipe), 1, 2)
        assert network(torch.empty(1, 1, *recipe.patch_size)).shape == (1, 2, *recipe.patch_size)


def test_published_values_of_the_report() -> None:
    recipe = load("panorama-report")
    assert (recipe.patch_size, recipe.batch_size, recipe.epochs) == ((128, 192, 192), 2, 1000)
    assert (recipe.optimizer, recipe.learning_rate, recipe.segmentation_loss) == ("adam", 0.01, "dice-ce")
    assert (recipe.schedule, recipe.step_share * recipe.epochs) == ("step", 75)


def test_published_values_of_the_baseline() -> None:
    recipe = load("panorama-baseline")
    assert (recipe.spacing_mm, recipe.margin_mm) == ((9.0, 4.5, 4.5), (15.0, 50.0, 100.0))
    assert (recipe.optimizer, recipe.schedule, recipe.segmentation_loss) == ("sgd", "poly", "dice")


PLANS = Path(__file__).parents[3] / "shared" / "data" / "panorama" / "stage1_plans.json"


@pytest.mark.skipif(not PLANS.is_file(), reason="the baseline's published plan is not beside the project")
def test_the_baseline_is_the_published_plan() -> None:
    published = read_json(PLANS)["configurations"]["3d_fullres"]
    recipe = load("panorama-baseline")
    assert list(recipe.spacing_mm) == published["spacing"]
    assert recipe.patch_size == tuple(published["patch_size"])
    assert (recipe.batch_size, recipe.batch_dice) == (published["batch_size"], published["batch_dice"])
    architecture = architecture_of(recipe)
    made = architecture["arch_kwargs"]
    assert architecture["network_class_name"].endswith(f".{published['UNet_class_name']}")
    assert made["strides"] == published["pool_op_kernel_sizes"]
    assert made["kernel_sizes"] == published["conv_kernel_sizes"]
    assert made["n_conv_per_stage"] == published["n_conv_per_stage_encoder"]
    assert made["n_conv_per_stage_decoder"] == published["n_conv_per_stage_decoder"]
    widest, first = published["unet_max_num_features"], published["UNet_base_num_features"]
    assert made["features_per_stage"] == [min(widest, first * 2**level) for level in range(made["n_stages"])]


def test_an_unknown_name() -> None:
    with pytest.raises(RecipeError, match=r"recipe 'dmeo' does not exist; choose one of .*demo"):
        load("dmeo")


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("margin_mm = [8.0, 8.0]", r"margin_mm\.2"),
        ("margin_mm = [8.0, -1.0, 8.0]", r"margin_mm\.1 = -1\.0"),
        ("margin_mm = [8.0, inf, 8.0]", r"margin_mm\.1 = inf"),
        ("margin_mm = 8.0", r"margin_mm = 8\.0"),
        ('margin_mm = "all"', r"margin_mm\.validation = 'all': Input should be 'validation'"),
        ("margin_reserve_mm = -1.0", r"margin_reserve_mm = -1\.0"),
        ("bridge_mm = -1.0", r"bridge_mm = -1\.0"),
        ("minimum_ml = inf", r"minimum_ml = inf"),
        ("minimum_ml = -2.0", r"minimum_ml = -2\.0"),
        ("margin = 5", r"margin = 5: Extra inputs"),
        ("margin_mm = ", r"is not valid TOML"),
    ],
)
def test_a_wrong_line_is_quoted(recipe_file: Path, tmp_path: Path, line: str, quoted: str) -> None:
    key = line.split(" =", maxsplit=1)[0]
    kept = [other for other in recipe_file.read_text().splitlines() if not other.startswith(f"{key} =")]
    changed = tmp_path / "changed.toml"
    changed.write_text("\n".join([*kept, line]))
    with pytest.raises(RecipeError, match=rf"recipe 'changed\.toml'.*{quoted}"):
        load(str(changed))


def test_margins_are_chosen_by_data_where_nothing_else_is_said(recipe_file: Path, tmp_path: Path) -> None:
    lines = [line for line in recipe_file.read_text().splitlines() if not line.startswith("margin_mm")]
    (tmp_path / "silent.toml").write_text("\n".join(lines))
    recipe = load(str(tmp_path / "silent.toml"))
    assert (recipe.margin_mm, recipe.margin_reserve_mm) == ("validation", 10.0)
    assert LocalizerRecipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert load(str(recipe_file)).margin_mm == (8.0, 8.0, 8.0)
    assert load("demo").margin_mm == (25.0, 25.0, 25.0)

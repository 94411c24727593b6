"""Recipes: what is refused, and that the message quotes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ctcore.errors import RecipeError
from ctcore.nnunet.recipe import TrainingRecipe, load_recipe
from tests.ctcore.nnunet.tiny_recipe import TEXT


def load(folder: Path, text: str) -> TrainingRecipe:
    path = folder / "changed.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(TrainingRecipe, str(path), folder)


def test_a_file_by_name_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT, encoding="utf-8")
    by_name = load_recipe(TrainingRecipe, "tiny", tmp_path)
    assert by_name == load_recipe(TrainingRecipe, str(tmp_path / "tiny.toml"), Path("/nowhere"))
    assert by_name.features == (4, 8, 8)
    assert by_name.blocks == (2, 2, 2)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe 'tiyn' does not exist; choose one of tiny"):
        load_recipe(TrainingRecipe, "tiyn", tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe '.*gone\.toml' does not exist"):
        load_recipe(TrainingRecipe, str(tmp_path / "gone.toml"), tmp_path)


def test_bad_toml(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe 'changed\.toml' is not valid TOML: .*line 8"):
        load(tmp_path, TEXT + "epochs 5\n")


def test_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'changed\.toml': learning_rat = 0\.1: Extra inputs"):
        load(tmp_path, TEXT + "learning_rat = 0.1\n")


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("learning_rate = -0.5", r"learning_rate = -0\.5"),
        ("learning_rate = inf", r"learning_rate = inf"),
        ('optimizer = "lion"', r"optimizer = 'lion': .*'sgd'"),
        ("oversample_foreground = 1.5", r"oversample_foreground = 1\.5"),
        ("ema_decay = 1.0", r"ema_decay = 1\.0"),
        ("blocks_per_level = [2, 2]", r"blocks_per_level \(2, 2\) and features \(4, 8, 8\) differ"),
        ('name = "../away"', r"name = '\.\./away'"),
        ("iterations_per_epoch = 0", r"iterations_per_epoch = 0"),
        ('segmentation_loss = "focal"', r"segmentation_loss = 'focal': .*'dice-ce'"),
        ('planner = "resenc-s"', r"planner = 'resenc-s': .*'resenc-m'"),
        ('planner = "resenc-m"\nencoder = "plain"', r"encoder 'plain' is not the one of planner 'resenc-m'"),
        ('planner = "nnunet"\nencoder = "resenc"', r"encoder 'resenc' is not the one of planner 'nnunet'"),
        ('planner = "nnunet"\nplanner_memory_gb = 0', r"planner_memory_gb = 0"),
        ('encoder = "resnet"', r"encoder = 'resnet': .*did you mean 'resenc'\? choose plain, resenc or timm:NAME"),
        ('encoder = "timm:resnet81"', r"'resnet81' is not one of timm's models; did you mean 'timm:resnet\d+'"),
        ('encoder = "timm:hf_hub:someone/model"', r"'hf_hub:someone/model' is not one of timm's models"),
        ('encoder = "timm:resnet18"', r"encoder 'timm:resnet18' is 2-D, and patch_size is \(16, 16, 16\)"),
        ('encoder_weights = "w.safetensors"', r"encoder_weights 'w\.safetensors' is for timm's encoders"),
        ("stem_stride = 5", r"stem_stride = 5"),
        ('planner = "nnunet"\nstem_stride = 2', r"stem_stride 2: nnU-Net's planners choose none"),
        ("planner_memory_gb = 24.0", r"planner_memory_gb 24\.0 is for nnU-Net's planners; leave it out"),
    ],
)
def test_an_impossible_value_is_quoted(tmp_path: Path, line: str, quoted: str) -> None:
    key = line.split(" =", maxsplit=1)[0]
    kept = [other for other in TEXT.splitlines() if not other.startswith(f"{key} =")]
    with pytest.raises(RecipeError, match=quoted):
        load(tmp_path, "\n".join([*kept, line]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"features \(4, 8, 8\): encoder 'timm:test_resnet' has its own"),
        ({"features": (), "stem_stride": 2}, r"stem_stride 2: encoder"),
        ({"features": (), "blocks_per_level": (1, 1, 1)}, r"blocks_per_level \(1, 1, 1\): encoder"),
        ({"features": (), "planner": "nnunet"}, r"encoder 'timm:test_resnet' is not the one of planner 'nnunet'"),
        ({"features": (), "batch_size": None}, r"batch_size must be given"),
    ],
)
def test_an_encoder_of_timms_has_its_own_sizes(
    recipe: Callable[..., TrainingRecipe], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(**({"encoder": "timm:test_resnet", "patch_size": (1, 64, 64)} | changes))


@pytest.mark.parametrize(("depth", "dims", "axes"), [(1, 2, (1, 2)), (16, 3, (0, 1, 2))])
def test_a_patch_of_depth_1_is_2d(
    recipe: Callable[..., TrainingRecipe], depth: int, dims: int, axes: tuple[int, ...]
) -> None:
    made = recipe(patch_size=(depth, 16, 16))
    assert (made.dims, made.mirror_axes) == (dims, axes)
    assert recipe(patch_size=(depth, 16, 16), mirror=False).mirror_axes == ()
    assert recipe(planner="nnunet", patch_size=None).dims == 3


def test_an_element_of_a_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"patch_size\.1 = 0"):
        load(tmp_path, TEXT.replace("[16, 16, 16]", "[16, 0, 16]"))


def test_a_message_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, "name = 5\nepochs = 'many'\n")
    assert "\n" not in str(caught.value)


def test_two_levels_are_too_few(recipe: Callable[..., TrainingRecipe]) -> None:
    with pytest.raises(ValidationError, match=r"features \(4, 8\) has fewer than three levels"):
        recipe(features=(4, 8))


@pytest.mark.parametrize("absent", ["patch_size", "batch_size", "features"])
def test_sizes_are_needed_unless_a_planner_decides(tmp_path: Path, absent: str) -> None:
    text = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith(absent))
    with pytest.raises(RecipeError, match=f"{absent} must be given, unless one of nnU-Net's planners decides"):
        load(tmp_path, text)
    assert not getattr(load(tmp_path, text + 'planner = "nnunet"\n'), absent)


@pytest.mark.parametrize(
    ("planner", "encoder", "batch_dice"),
    [
        ("recipe", "plain", False),
        ("nnunet", "plain", None),
        ("resenc-m", "resenc", None),
        ("resenc-xl", "resenc", None),
    ],
)
def test_what_follows_from_the_planner(
    recipe: Callable[..., TrainingRecipe], planner: str, encoder: str, batch_dice: bool | None
) -> None:
    made = recipe(planner=planner)
    assert (made.encoder, made.batch_dice) == (encoder, batch_dice)
    assert TrainingRecipe.model_validate(made.model_dump(mode="json")) == made

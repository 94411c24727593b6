"""`--set FIELD=VALUE`: what becomes of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import RecipeError
from ctcore.nnunet.overrides import apply_changes, parse_change
from ctcore.nnunet.recipe import TrainingRecipe, load_recipe
from stage2_multitask.recipe import load as load_stage2
from tests.ctcore.nnunet import tiny_recipe

TEXT = (
    tiny_recipe.TEXT
    + """\
ema_decay = 0.9
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recipe `tiny`."""
    (tmp_path / "tiny.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("epochs=20", ("epochs",), 20),
        (" epochs = 20 ", ("epochs",), 20),
        ("learning_rate=1e-3", ("learning_rate",), 1e-3),
        ("mirror=false", ("mirror",), False),
        ("patch_size=[16, 32, 32]", ("patch_size",), [16, 32, 32]),
        ("schedule=cosine", ("schedule",), "cosine"),
        ('schedule="cosine"', ("schedule",), "cosine"),
        ("description=what a = b says", ("description",), "what a = b says"),
        ("head.width=32", ("head", "width"), 32),
        ('labels."pancreatic duct"=5', ("labels", "pancreatic duct"), 5),
        ("labels={background = 0, pancreas = 1}", ("labels",), {"background": 0, "pancreas": 1}),
    ],
)
def test_a_change_is_read(text: str, path: tuple[str, ...], value: Any) -> None:
    change = parse_change(text)
    assert (change.path, change.value, change.removed) == (path, value, False)
    assert change.field == path[0]


@given(
    st.recursive(st.integers(-(2**62), 2**62) | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3))
)
def test_values_come_back(value: Any) -> None:
    """JSON of these values is TOML as well, but for DEL, which TOML does not take unescaped."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    assert parse_change(f"x={text}").value == value


@given(
    st.text(st.characters(categories=["L"]), min_size=1).filter(
        lambda text: text not in {"inf", "nan", "true", "false"}
    )
)
def test_bare_words_are_text(word: str) -> None:
    assert parse_change(f"x={word}").value == word


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "'epochs' is not FIELD=VALUE"),
        ("epochs=", "is not FIELD=VALUE"),
        ("=20", "is not FIELD=VALUE"),
        ("epochs=20\nseed=1", "is not FIELD=VALUE"),
        ("patch_size=[16, 16", r"\[16, 16 is not a TOML value"),
        ('name="long', '"long is not a TOML value'),
        ("batch size=2", "'batch size' is not the name of a field"),
        ("#=2", "'#' is not the name of a field"),
        ("[head]=2", r"'\[head\]' is not the name of a field"),
    ],
)
def test_what_is_no_change(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_change(text)


def test_values_are_replaced_in_order() -> None:
    before = {"epochs": 4, "head": {"width": 48, "dropout": 0.2}}
    changes = [parse_change(text) for text in ("epochs=5", "head.width=8", "epochs=6", "phases.head=0.5")]
    after = apply_changes(before, changes, ["epochs", "head", "phases"])
    assert after == {"epochs": 6, "head": {"width": 8, "dropout": 0.2}, "phases": {"head": 0.5}}
    assert before == {"epochs": 4, "head": {"width": 48, "dropout": 0.2}}


def test_none_takes_a_field_out(folder: Path) -> None:
    changed = load_recipe(TrainingRecipe, "tiny", folder, ["ema_decay=none", "step_share=none"])
    assert (changed.ema_decay, changed.step_share) == (None, 0.075)
    with pytest.raises(RecipeError, match="epochs is missing"):
        load_recipe(TrainingRecipe, "tiny", folder, ["epochs=none"])


def test_a_recipe_is_changed(folder: Path) -> None:
    changed = load_recipe(TrainingRecipe, "tiny", folder, ["patch_size=[8,16,16]", "schedule=cosine", "name=longer"])
    assert (changed.patch_size, changed.schedule, changed.name) == ((8, 16, 16), "cosine", "longer")


def test_fields_of_tables_are_changed() -> None:
    before, after = load_stage2("demo").head, load_stage2("demo", ["head.width=8"]).head
    assert after == before.model_copy(update={"width": 8})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epoch=5", r"--set 'epoch=5': a recipe has no field 'epoch'; did you mean 'epochs'\?"),
        ("qqq=5", r"a recipe has no field 'qqq'; choose one of aggregation, .*augmentation"),
        ("epochs=0", r"recipe 'demo\.toml' --set 'epochs=0': epochs = 0: "),
        ("epochs=many", r"epochs = 'many': "),
        ("head.widht=8", r"head\.fpn\.widht = 8: Extra inputs"),
        ("epochs.width=8", r"--set 'epochs\.width=8': epochs = \d+ is not a table and has no field 'width'"),
    ],
)
def test_a_wrong_change_is_quoted(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_stage2("demo", [change])
    assert "\n" not in str(caught.value)

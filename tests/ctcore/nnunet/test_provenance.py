"""A workspace remembers what it was prepared and planned with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import DatasetError, RecipeError
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.provenance import check_planned, check_prepared, differences, recorded
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import Workspace

MakeRecipe = Callable[..., TrainingRecipe]


@pytest.fixture
def workspace(tmp_path: Path, recipe: MakeRecipe) -> Workspace:
    """Prepared and planned with the tiny recipe."""
    made = Workspace(tmp_path / "work", "Dataset007_Tiny")
    for path in (made.prepared_with_file, made.planned_with_file):
        with recorded(path, recipe()):
            assert read_json(path)["finished"] is False
    return made


def test_the_same_recipe_goes_on(workspace: Workspace, recipe: MakeRecipe) -> None:
    for changes in ({}, {"name": "longer", "epochs": 9, "learning_rate": 0.5, "segmentation_loss": "ce"}):
        check_prepared(workspace, recipe(**changes))
        check_planned(workspace, recipe(**changes))


@pytest.mark.parametrize(
    ("changes", "command", "quoted"),
    [
        (
            {"spacing_mm": (3.0, 3.0, 2.0)},
            "prepare",
            r"spacing_mm was \[3\.0, 3\.0, 3\.0\] and is \[3\.0, 3\.0, 2\.0\]",
        ),
        ({"patch_size": (32, 16, 16)}, "plan", r"patch_size was \[16, 16, 16\] and is \[32, 16, 16\]"),
        ({"batch_size": 4}, "plan", "batch_size was 2 and is 4"),
        ({"batch_dice": True}, "plan", "batch_dice was False and is True"),
        ({"planner": "nnunet", "batch_dice": False}, "plan", "planner was recipe and is nnunet"),
        ({"features": (4, 8, 16), "batch_size": 4}, "plan", r"batch_size was 2 and is 4, features was \[4, 8, 8\]"),
    ],
)
def test_other_values_are_refused(
    workspace: Workspace, recipe: MakeRecipe, changes: dict[str, Any], command: str, quoted: str
) -> None:
    with pytest.raises(RecipeError, match=f"contradicts what `{command}` did in '.*work': {quoted}.*run `{command}`"):
        check_planned(workspace, recipe(**changes))


def test_an_interrupted_step_is_refused(workspace: Workspace, recipe: MakeRecipe) -> None:
    for check, path, command in (
        (check_planned, workspace.planned_with_file, "plan"),
        (check_prepared, workspace.prepared_with_file, "prepare"),
        (check_planned, workspace.prepared_with_file, "prepare"),
    ):
        with pytest.raises(KeyboardInterrupt), recorded(path, recipe()):
            raise KeyboardInterrupt
        with pytest.raises(DatasetError, match=f"`{command}` did not finish in '.*work'; run it again"):
            check(workspace, recipe())


def test_a_workspace_from_before_is_taken_as_it_is(tmp_path: Path, recipe: MakeRecipe) -> None:
    check_planned(Workspace(tmp_path, "Dataset007_Tiny"), recipe())


def test_a_field_that_was_not_known_then_does_not_count(workspace: Workspace, recipe: MakeRecipe) -> None:
    record = read_json(workspace.planned_with_file)
    del record["recipe"]["planner"]
    write_json(workspace.planned_with_file, record)
    check_planned(workspace, recipe())


def test_differences() -> None:
    before, now = {"a": 1, "b": [1.0], "c": 5}, {"a": 2, "b": [1.0], "c": 6, "d": 7}
    assert differences(before, now, ["a", "b", "d"]) == "a was 1 and is 2"
    assert differences(before, now, ["b", "d"]) == ""
    assert differences(before, now, ["a", "c"]) == "a was 1 and is 2, c was 5 and is 6"

"""`prepare` of the four layouts, from the command line to the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctcore.datasets.case_labels import read_case_labels
from ctcore.files import read
from ctcore.json_files import read_json
from stage2_multitask.cli import app
from stage2_multitask.dataset import workspace_at
from tests.ctcore.datasets.layouts_on_disk import write_msd, write_nnunet, write_panorama, write_subtypes, write_table
from tests.ctcore.datasets.native import NATIVE, SMALLEST, needs_native, write_native

CLASSES = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"}
SUBTYPES = {
    "labels": "{background = 0, pancreas = 1, lesion = 2}",
    "class_names": '["subtype0", "subtype1", "subtype2"]',
}


@pytest.fixture
def fine_recipe(tmp_path: Path, recipe_file: Path) -> Path:
    """The tiny recipe at the spacing of the tiny datasets."""
    path = tmp_path / "fine.toml"
    path.write_text(recipe_file.read_text().replace("spacing_mm = [4.0, 4.0, 4.0]", "spacing_mm = [2.0, 1.5, 1.0]"))
    return path


def prepare(layout: str, folder: Path, recipe: Path, changes: Mapping[str, str] | None = None) -> Result:
    lines = "".join(f"{key} = {value}\n" for key, value in (changes or {}).items())
    text = recipe.read_text()
    if changes:
        text = lines + text.replace("weights = [1.0, 3.0]", 'weights = "equal"')  # classes of another number
    recipe.write_text(text)
    line = ["prepare", "--dataset", layout, "--input", str(folder), "--output", str(folder / "w"), "--folds", "2"]
    return CliRunner().invoke(app, [*line, "--recipe", str(recipe)])


@pytest.mark.parametrize("layout", ["panorama", "subtypes", "nnunet"])
def test_a_layout_is_prepared(layout: str, tmp_path: Path, fine_recipe: Path) -> None:
    folder = tmp_path / "data"
    if layout == "subtypes":
        write_subtypes(folder)
    elif layout == "panorama":
        write_panorama(folder, CLASSES)
    else:
        write_nnunet(folder, CLASSES)
    result = prepare(layout, folder, fine_recipe, SUBTYPES if layout == "subtypes" else None)
    assert result.exit_code == 0, result.output

    workspace = workspace_at(folder / "w")
    rows = workspace.cases_file.read_text().splitlines()[1:]
    assert len(rows) == (9 if layout == "subtypes" else 4)
    classes = read_case_labels(workspace.case_labels_file)
    for row in rows:
        case_id, class_name, *_, image, label = row.split(",")
        assert classes[case_id] == class_name
        # The margin reaches beyond the tiny grid, which stays whole; nothing else changes: both files are linked.
        assert workspace.image_file(case_id).resolve() == Path(image)
        assert workspace.label_file(case_id).resolve() == Path(label)
    folds = read_json(workspace.preprocessed / "splits_final.json")
    assert [len(fold["val"]) for fold in folds] == ([3] if layout == "subtypes" else [2, 2])


def test_labels_get_the_values_of_the_recipe(tmp_path: Path, fine_recipe: Path) -> None:
    folder = write_msd(tmp_path / "data", list("abcd"))
    rows = [(case_id, "subtype0" if case_id in "ab" else "subtype1") for case_id in "abcd"]
    write_table(folder / "case_labels.csv", ("case_id", "class_name"), rows)
    changes = {"class_names": '["subtype0", "subtype1"]'}
    result = prepare("msd", folder, fine_recipe, changes)
    assert result.exit_code == 0, result.output
    stored = read(folder / "labelsTr" / "a.nii.gz").array  # 1 pancreas, 2 lesion; the recipe: 4 and 1
    made = read(workspace_at(folder / "w").label_file("a")).array
    np.testing.assert_array_equal(made, np.array([0, 4, 1])[stored])


def test_classes_are_needed(tmp_path: Path, fine_recipe: Path) -> None:
    folder = write_msd(tmp_path / "data", list("abcd"))
    result = prepare("msd", folder, fine_recipe)
    assert result.exit_code == 1
    assert "no-classes" in result.stdout
    assert not (folder / "w" / "raw").exists()


@needs_native
def test_published_label_maps(tmp_path: Path, recipe_file: Path) -> None:
    folder = write_native(tmp_path / "data", SMALLEST)
    line = ["prepare", "--dataset", "panorama", "--input", str(folder), "--output", str(folder / "w")]
    splits = ["--splits", str(folder / "splits.json"), "--workers", "2"]
    result = CliRunner().invoke(app, [*line, "--recipe", str(recipe_file), *splits])
    assert result.exit_code == 0, result.output
    assert "2 cases examined: 0 need a person, 0 more have notes" in result.stdout
    workspace = workspace_at(folder / "w")
    assert set(read_case_labels(workspace.case_labels_file)) == set(SMALLEST)
    for case_id in SMALLEST:
        stored, made = read(NATIVE / f"{case_id}.nii.gz"), read(workspace.label_file(case_id))
        for value in (1, 4):
            volume_ml = (stored.array == value).sum() * stored.geometry.voxel_volume_ml
            made_ml = (made.array == value).sum() * made.geometry.voxel_volume_ml
            assert made_ml == pytest.approx(volume_ml, rel=0.2, abs=0.5)

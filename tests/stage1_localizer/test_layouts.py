"""`prepare` of the four layouts, from the command line to the workspace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ctcore.datasets.case_labels import read_case_labels
from ctcore.files import read
from ctcore.json_files import read_json
from stage1_localizer.cli import app
from stage1_localizer.dataset import workspace_at
from tests.ctcore.datasets.layouts_on_disk import (
    write_json_file,
    write_msd,
    write_nnunet,
    write_panorama,
    write_subtypes,
)
from tests.ctcore.datasets.native import NATIVE, SMALLEST, needs_native, write_native

STUDIES = {"100001_00001": "non-PDAC", "100002_00001": "PDAC", "100002_00002": "PDAC", "100003_00001": "non-PDAC"}
FOLDS = {"Fold 0 validation": ["100001_00001", "100002_00001"], "Fold 1 validation": ["100002_00002", "100003_00001"]}
PANCREAS = {"panorama": (1, 4, 5), "msd": (1, 2), "subtypes": (1, 2), "nnunet": (1, 4, 5)}


def write_layout(layout: str, folder: Path) -> list[str]:
    """Writes a dataset and returns further options."""
    if layout == "panorama":
        write_panorama(folder, STUDIES)
        write_json_file(folder / "splits.json", FOLDS)
        return ["--splits", str(folder / "splits.json")]
    if layout == "msd":
        write_msd(folder, [f"pancreas_{number:03}" for number in range(4)], ["pancreas_100"])
    elif layout == "subtypes":
        write_subtypes(folder)
    else:
        write_nnunet(folder, {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"})
    return []


@pytest.mark.parametrize("layout", ["panorama", "msd", "subtypes", "nnunet"])
def test_a_layout_is_prepared(layout: str, tmp_path: Path, recipe_file: Path) -> None:
    folder, fine = tmp_path / "data", tmp_path / "fine.toml"
    options = write_layout(layout, folder)
    fine.write_text(recipe_file.read_text().replace("spacing_mm = [4.0, 4.0, 4.0]", "spacing_mm = [2.0, 1.5, 1.0]"))
    line = ["prepare", "--dataset", layout, "--input", str(folder), "--output", str(tmp_path / "w"), "--folds", "2"]
    result = CliRunner().invoke(app, [*line, "--recipe", str(fine), *options])
    assert result.exit_code == 0, result.output

    workspace = workspace_at(tmp_path / "w")
    rows = workspace.cases_file.read_text().splitlines()[1:]
    assert workspace.dataset_json()["numTraining"] == len(rows) == {"subtypes": 9}.get(layout, 4)
    for row in rows:
        case_id, *_, image, label = row.split(",")
        # Neither orientation nor spacing has to change: the CT is linked.
        assert workspace.image_file(case_id).resolve() == Path(image)
        expected = np.isin(read(Path(label)).array, PANCREAS[layout])
        np.testing.assert_array_equal(read(workspace.label_file(case_id)).array, expected)
    classes = read_case_labels(workspace.case_labels_file)
    splits = read_json(workspace.preprocessed / "splits_final.json")
    if layout == "panorama":
        assert classes == STUDIES
        assert splits == [
            {"train": ["100003_00001"], "val": ["100001_00001", "100002_00001"]},
            {"train": ["100001_00001"], "val": ["100002_00002", "100003_00001"]},
        ]
        assert "patient-in-two-splits" in result.stdout
    elif layout == "subtypes":
        assert classes["quiz_2_001"] == "subtype2"
        assert [len(splits[0]["train"]), len(splits[0]["val"]), len(splits)] == [6, 3, 1]
    elif layout == "msd":
        assert classes == {}
        assert [len(fold["val"]) for fold in splits] == [2, 2]
    else:
        assert [sorted(classes[case_id] for case_id in fold["val"]) for fold in splits] == [["PDAC", "non-PDAC"]] * 2


def test_an_unknown_layout() -> None:
    result = CliRunner().invoke(app, ["prepare", "--dataset", "nifti", "--input", "a", "--output", "w"])
    assert result.exit_code == 2
    assert "'nifti' is not one of" in result.stderr


def prepare_native(case_ids: list[str], folder: Path, recipe: Path) -> str:
    """Prepares published label maps with a CT made for each, and returns what the command said."""
    write_native(folder, case_ids)
    line = ["prepare", "--dataset", "panorama", "--input", str(folder), "--output", str(folder / "w")]
    splits = ["--splits", str(folder / "splits.json"), "--workers", "2"]
    result = CliRunner().invoke(app, [*line, "--recipe", str(recipe), *splits])
    assert result.exit_code == 0, result.output
    for case_id in case_ids:
        stored, low = read(NATIVE / f"{case_id}.nii.gz"), read(workspace_at(folder / "w").label_file(case_id))
        volume_ml = np.isin(stored.array, (1, 4, 5)).sum() * stored.geometry.voxel_volume_ml
        assert low.array.sum() * low.geometry.voxel_volume_ml == pytest.approx(volume_ml, rel=0.1)
        assert low.geometry.direction == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    return result.stdout


@needs_native
def test_published_label_maps(tmp_path: Path, recipe_file: Path) -> None:
    said = prepare_native(SMALLEST, tmp_path / "data", recipe_file)
    assert "2 cases examined: 0 need a person, 0 more have notes" in said
    assert "2236 rows of the table of classes have no image" in said


@pytest.mark.slow
@needs_native
def test_all_published_label_maps(tmp_path: Path, recipe_file: Path) -> None:
    case_ids = sorted(path.name.removesuffix(".nii.gz") for path in NATIVE.glob("*.nii.gz"))
    said = prepare_native(case_ids, tmp_path / "data", recipe_file)
    assert f"{len(case_ids)} cases examined: 0 need a person" in said

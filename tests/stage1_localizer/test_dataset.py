"""Preparation: what the localizer learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.datasets.case_labels import read_case_labels, write_case_labels
from ctcore.errors import LabelError
from ctcore.files import read, write
from ctcore.json_files import read_json
from ctcore.volume import Geometry, Volume
from stage1_localizer.dataset import prepare, workspace_at
from stage1_localizer.recipe import LocalizerRecipe


def test_gland_duct_and_lesion_become_pancreas(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    reports: list[tuple[int, int]] = []
    workspace = prepare([training_folder], tmp_path, recipe, folds=2, progress=lambda *report: reports.append(report))
    assert workspace == workspace_at(tmp_path)
    label = read(training_folder / "labelsTr" / "a.nii.gz")
    np.testing.assert_array_equal(read(workspace.label_file("a")).array, np.isin(label.array, (1, 4, 5)))
    image = read(training_folder / "imagesTr" / "a_0000.nii.gz")
    assert read(workspace.image_file("a")).array.dtype == np.int16
    np.testing.assert_array_equal(read(workspace.image_file("a")).array, image.array)
    assert workspace.dataset_json()["numTraining"] == 4
    assert workspace.dataset_json()["labels"] == {"background": 0, "pancreas": 1}
    assert read_case_labels(workspace.case_labels_file)["b"] == "non-PDAC"
    assert len(read_json(workspace.preprocessed / "splits_final.json")) == 2
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_two_processes_write_what_one_writes(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    one = prepare([training_folder], tmp_path / "one", recipe, folds=2)
    two = prepare([training_folder], tmp_path / "two", recipe, folds=2, workers=2)
    files = sorted(path.relative_to(one.root) for path in one.root.rglob("*") if path.is_file())
    assert len(files) == 4 * 3 + 5
    for file in files:
        assert (one.root / file).read_bytes() == (two.root / file).read_bytes(), file


class Stopped(BaseException):
    """The process is killed."""


def test_stopped_and_started_again_gives_the_same(
    training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare([training_folder], tmp_path / "whole", recipe, folds=2)
    written: list[str] = []

    def write_or_stop(volume: Volume, path: Path) -> None:
        written.append(path.name)
        if written == ["a.nii.gz", "b.nii.gz"]:
            raise Stopped
        write(volume, path)

    monkeypatch.setattr("stage1_localizer.dataset.write", write_or_stop)
    with pytest.raises(Stopped):
        prepare([training_folder], tmp_path / "part", recipe, folds=2)
    part = prepare([training_folder], tmp_path / "part", recipe, folds=2)
    assert written == ["a.nii.gz", "b.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz"]
    files = sorted(path.relative_to(whole.root) for path in whole.root.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(part.root) for path in part.root.rglob("*") if path.is_file())
    for file in files:
        assert (whole.root / file).read_bytes() == (part.root / file).read_bytes(), file


def one_case(folder: Path, label: npt.NDArray[np.uint8], spacing: float) -> Path:
    geometry = Geometry(label.shape, (spacing, spacing, spacing))
    image = (np.arange(label.size) * 31 % 1500 - 900).astype(np.int16).reshape(label.shape)
    for case_id in ("p", "q"):
        write(Volume(image, geometry), folder / "imagesTr" / f"{case_id}_0000.nii.gz")
        write(Volume(label, geometry), folder / "labelsTr" / f"{case_id}.nii.gz")
    write_case_labels(folder / "case_labels.csv", {"p": "PDAC", "q": "PDAC"})
    return folder


def test_a_low_resolution_voxel_is_pancreas_from_half_its_volume(tmp_path: Path, recipe: LocalizerRecipe) -> None:
    label = np.zeros((8, 8, 8), dtype=np.uint8)
    label[3:7] = 4  # half of the second and of the fourth slice of 4 mm
    folder = one_case(tmp_path / "data", label, 2.0)
    workspace = prepare([folder], tmp_path / "work", recipe, folds=2)
    low = read(workspace.label_file("p"))
    assert low.geometry.shape == (4, 4, 4)
    assert low.geometry.spacing == pytest.approx((4.0, 4.0, 4.0))
    expected = np.zeros((4, 4, 4), dtype=np.uint8)
    expected[1:4] = 1
    np.testing.assert_array_equal(low.array, expected)
    assert read(workspace.image_file("p")).geometry.allclose(low.geometry)


def test_a_stray_label_names_the_case(tmp_path: Path, recipe: LocalizerRecipe) -> None:
    label = np.full((4, 4, 4), 9, dtype=np.uint8)
    with pytest.raises(LabelError, match=r"case 'p': label values \[9\] have no name"):
        prepare([one_case(tmp_path / "data", label, 4.0)], tmp_path / "work", recipe, folds=2)

"""Preparation: crops around the true pancreas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny import make_patient
from ctcore.datasets.case_labels import read_case_labels, write_case_labels
from ctcore.errors import DatasetError, LabelError
from ctcore.files import read, write
from ctcore.geometry import Box
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.volume import Geometry
from stage2_multitask.dataset import prepare, prepare_case, training_roi, workspace_at
from stage2_multitask.loss_settings import ClassLossSettings
from stage2_multitask.recipe import MultiTaskRecipe


def test_crops_by_hand(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    workspace = prepare([training_folder], tmp_path, recipe, folds=2)
    assert workspace == workspace_at(tmp_path)
    image = read(training_folder / "imagesTr" / "a_0000.nii.gz")
    label = read(training_folder / "labelsTr" / "a.nii.gz")
    # Gland, duct and lesion span z 8-16, y 10-20, x 8-24; the margin of 8 mm is two voxels.
    inside = np.s_[6:18, 8:22, 6:26]
    crop = read(workspace.image_file("a"))
    np.testing.assert_array_equal(crop.array, image.array[inside])
    np.testing.assert_array_equal(read(workspace.label_file("a")).array, label.array[inside])
    assert crop.geometry.origin == pytest.approx(tuple(image.geometry.index_to_physical((6, 8, 6))))
    assert workspace.dataset_json()["labels"] == recipe.labels


def test_jitter_moves_every_face_but_leaves_the_pancreas_inside(recipe: MultiTaskRecipe) -> None:
    geometry = Geometry((100, 120, 140), (1.0, 2.0, 0.5))
    tight = Box((40, 50, 60), (50, 60, 80))
    jittered = recipe.model_copy(update={"margin_mm": (8.0, 8.0, 8.0), "margin_jitter_mm": 6.0})
    boxes = [training_roi(tight, jittered, geometry, f"case {number}") for number in range(200)]
    before = np.array(tight.start) - np.array([box.start for box in boxes])
    after = np.array([box.stop for box in boxes]) - np.array(tight.stop)
    for faces in (before, after):  # 8 - 6 to 8 + 6 mm, in voxels of (0.5, 2, 1) mm
        assert (faces.min(axis=0) >= (4, 1, 2)).all()
        assert (faces.max(axis=0) <= (28, 7, 14)).all()
        assert (faces.std(axis=0) > (3, 1, 2)).all()
    assert training_roi(tight, jittered, geometry, "case 7") == boxes[7]
    exact = jittered.model_copy(update={"margin_jitter_mm": 0.0})
    assert training_roi(tight, exact, geometry, "a") == tight.expand_mm((8.0, 8.0, 8.0), geometry.spacing_zyx)


def test_labels_keep_their_values_at_another_spacing(
    training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe
) -> None:
    coarser = recipe.model_copy(update={"spacing_mm": (5.0, 5.0, 5.0)})
    workspace = prepare([training_folder], tmp_path, coarser, folds=2)
    label = read(workspace.label_file("a"))
    # (12, 14, 20) voxels of 4 mm: 48, 56 and 80 mm.
    assert label.geometry.shape == read(workspace.image_file("a")).geometry.shape == (10, 11, 16)
    assert label.array.dtype == np.uint8
    assert set(np.unique(label.array)) == {0, 1, 4, 5}


def test_two_processes_write_what_one_writes(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    one = prepare([training_folder], tmp_path / "one", recipe, folds=2)
    two = prepare([training_folder], tmp_path / "two", recipe, folds=2, workers=2)
    files = sorted(path.relative_to(one.root) for path in one.root.rglob("*") if path.is_file())
    assert len(files) == 4 * 3 + 5
    for file in files:
        assert (one.root / file).read_bytes() == (two.root / file).read_bytes(), file


def copy_of(training_folder: Path, folder: Path) -> Path:
    for case_id in ("a", "c"):
        for name in (f"imagesTr/{case_id}_0000.nii.gz", f"labelsTr/{case_id}.nii.gz"):
            write(read(training_folder / name), folder / name)
    write_case_labels(folder / "case_labels.csv", {"a": "PDAC", "c": "PDAC"})
    return folder


def test_no_pancreas_no_crop(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    folder = copy_of(training_folder, tmp_path / "data")
    label = read(folder / "labelsTr" / "a.nii.gz")
    veins = np.where(label.array == 2, 2, 0).astype(np.uint8)
    write(label.with_array(veins), folder / "labelsTr" / "a.nii.gz")
    with pytest.raises(LabelError, match="case 'a': the label map holds no pancreas"):
        prepare([folder], tmp_path / "work", recipe, folds=2)


def test_the_recipes_classes_count(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    changed = recipe.model_copy(update={"class_names": ("benign", "malignant")})
    folder = copy_of(training_folder, tmp_path / "data")
    with pytest.raises(DatasetError, match=r"case 'a' has class 'PDAC'.*use benign or malignant"):
        prepare([folder], tmp_path / "work", changed, folds=2)


def test_the_recipes_labels_count(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    changed = recipe.model_copy(update={"labels": {"background": 0, "lesion": 1, "pancreas": 4}})
    folder = copy_of(training_folder, tmp_path / "data")
    with pytest.raises(LabelError, match=r"'a' of class PDAC: the recipe has no label for veins \(2\), pancreatic"):
        prepare([folder], tmp_path / "work", changed, folds=2)


BY_CLASS = {"background": 0, "ductal lesion": 1, "other lesion": 2, "veins": 3, "pancreas": 4, "pancreatic duct": 5}


@pytest.fixture
def by_class(recipe: MultiTaskRecipe) -> MultiTaskRecipe:
    """A recipe in which lesions of two classes have labels of their own."""
    own = {"PDAC": "ductal lesion", "other": "other lesion"}
    changes = {"labels": BY_CLASS, "lesion_labels": own, "class_names": ("PDAC", "other", "benign")}
    return recipe.model_copy(update=changes)


def with_lesion(folder: Path, class_name: str) -> TrainingCase:
    image, label = make_patient(0, lesion=True)
    write(image, folder / "image.nii.gz")
    write(label, folder / "label.nii.gz")
    return TrainingCase("a", folder / "image.nii.gz", folder / "label.nii.gz", class_name)


@pytest.mark.parametrize(("class_name", "value"), [("PDAC", 1), ("other", 2)])
def test_a_lesion_becomes_the_label_of_its_cases_class(
    tmp_path: Path, by_class: MultiTaskRecipe, class_name: str, value: int
) -> None:
    workspace = workspace_at(tmp_path / "work")
    assert prepare_case(workspace, by_class, with_lesion(tmp_path, class_name)) == pytest.approx(125 * 0.064)
    label = read(workspace.label_file("a"))
    assert np.count_nonzero(label.array == value) == 125
    assert set(np.unique(label.array)) <= {0, value, 3, 4, 5}
    assert label.geometry.shape == (12, 14, 20)  # the lesion is gland, too


def test_a_lesion_of_a_class_without_a_label(tmp_path: Path, by_class: MultiTaskRecipe) -> None:
    with pytest.raises(LabelError, match=r"case 'a' of class benign: the recipe has no label for lesion \(1\)"):
        prepare_case(workspace_at(tmp_path / "work"), by_class, with_lesion(tmp_path, "benign"))


def test_merged_labels(training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe) -> None:
    changed = recipe.model_copy(
        update={
            "labels": {"background": 0, "pancreas": 1, "lesion": 2},
            "merged_labels": {"pancreatic duct": "pancreas", "veins": "background"},
        }
    )
    with pytest.raises(LabelError, match="no label for"):
        prepare([training_folder], tmp_path / "work", changed.model_copy(update={"merged_labels": {}}), folds=2)
    merged = prepare([training_folder], tmp_path / "merged", changed, folds=2)
    kept = prepare([training_folder], tmp_path / "kept", recipe, folds=2)
    before, after = (read(workspace.label_file("a")).array for workspace in (kept, merged))
    expected = np.select([before == 1, np.isin(before, (4, 5))], [2, 1], 0)
    np.testing.assert_array_equal(after, expected)


def test_a_case_may_have_no_class_where_the_recipe_masks_it(
    training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe
) -> None:
    labelled = dict.fromkeys("abd", "PDAC")
    write_case_labels(tmp_path / "data" / "case_labels.csv", labelled)
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / name).symlink_to(training_folder / name)
    folder = tmp_path / "data"
    with pytest.raises(DatasetError, match=r"case 'c' has no row in 'case_labels\.csv'"):
        prepare([folder], tmp_path / "refused", recipe, folds=2)
    masked = recipe.model_copy(update={"class_loss": ClassLossSettings(missing="mask")})
    workspace = prepare([folder], tmp_path / "masked", masked, folds=2)
    assert read_case_labels(workspace.case_labels_file) == labelled
    assert workspace.image_file("c").is_file()

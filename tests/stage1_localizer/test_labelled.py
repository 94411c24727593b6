"""Which cases are measured, and what their label values mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.datasets.description import Layout
from ctcore.errors import DatasetError, RequestError
from ctcore.json_files import write_json
from ctcore.labels import PANORAMA_NAMES
from ctcore.nnunet.workspace import Workspace
from stage1_localizer.dataset import prepare
from stage1_localizer.labelled import cases_of_dataset, cases_of_folders, validation_cases
from stage1_localizer.recipe import LocalizerRecipe
from tests.ctcore.datasets.layouts_on_disk import write_msd


def test_two_folders(training_folder: Path) -> None:
    images, labels = training_folder / "imagesTr", training_folder / "labelsTr"
    with pytest.raises(RequestError, match=r"no 'dataset\.json' in or beside .*labelsTr' names the label values"):
        cases_of_folders(images, labels, None)
    cases = cases_of_folders(images, labels, Layout.PANORAMA)
    assert [case.case_id for case in cases] == ["a", "b", "c", "d"]
    assert cases[0].labels == PANORAMA_NAMES
    assert cases[0].label == labels / "a.nii.gz"


@pytest.mark.parametrize("place", ["labels/dataset.json", "dataset.json"])
def test_the_names_come_from_the_json(training_folder: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.nii.gz").symlink_to(training_folder / "labelsTr" / "a.nii.gz")
    write_json(tmp_path / place, {"labels": {"background": 0, "pancreas": 1, "tumor": 2}})
    cases = cases_of_folders(training_folder / "imagesTr", tmp_path / "labels", None)
    assert [case.case_id for case in cases] == ["a"]  # CTs without label map are left out
    assert cases[0].labels == {"background": 0, "pancreas": 1, "lesion": 2}


def test_labels_without_pancreas(training_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to(training_folder / "labelsTr" / "a.nii.gz")
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "liver": 1}})
    with pytest.raises(DatasetError, match=r"background, liver.*name no pancreas"):
        cases_of_folders(training_folder / "imagesTr", tmp_path, None)


def test_names_that_do_not_agree(training_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.nii.gz").symlink_to(training_folder / "labelsTr" / "a.nii.gz")
    with pytest.raises(DatasetError, match="has a label map; file names must agree"):
        cases_of_folders(training_folder / "imagesTr", tmp_path, Layout.PANORAMA)
    with pytest.raises(RequestError, match="gone' does not exist"):
        cases_of_folders(training_folder / "imagesTr", tmp_path / "gone", Layout.PANORAMA)


def test_a_dataset(tmp_path: Path) -> None:
    write_msd(tmp_path, ["pancreas_001", "pancreas_002"], ["pancreas_100"])
    cases = cases_of_dataset(tmp_path, Layout.MSD)
    assert [case.case_id for case in cases] == ["pancreas_001", "pancreas_002"]
    assert cases[0].labels["lesion"] == 2


@pytest.fixture(scope="module")
def workspace(training_folder: Path, recipe: LocalizerRecipe, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A prepared workspace of two folds."""
    return prepare([training_folder], tmp_path_factory.mktemp("workspace"), recipe, folds=2)


def test_a_folds_validation_cases_with_their_own_files(workspace: Workspace, training_folder: Path) -> None:
    folds = [validation_cases(workspace, fold) for fold in ("0", "1")]
    assert sorted(case.case_id for cases in folds for case in cases) == ["a", "b", "c", "d"]
    case = folds[0][0]
    assert case.image == training_folder / "imagesTr" / f"{case.case_id}_0000.nii.gz"
    assert case.labels == PANORAMA_NAMES


def test_the_fold_all_has_none(workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="fold 'all' trains on every case"):
        validation_cases(workspace, "all")


def test_a_case_whose_record_is_gone(training_folder: Path, tmp_path: Path, recipe: LocalizerRecipe) -> None:
    workspace = prepare([training_folder], tmp_path, recipe, folds=2)
    case_id = validation_cases(workspace, "0")[0].case_id
    workspace.prepared_file(case_id).unlink()
    with pytest.raises(DatasetError, match=rf"{case_id}\.json' is missing.*run `prepare` again"):
        validation_cases(workspace, "0")

"""Which crops are measured, and what is known of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ctcore.datasets.description import Layout
from ctcore.errors import DatasetError, RequestError
from ctcore.json_files import read_json
from ctcore.labels import PANORAMA_NAMES
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import prepare, workspace_at
from stage2_multitask.labelled import crops_of, validation_crops
from stage2_multitask.recipe import MultiTaskRecipe


def test_a_workspace_and_its_raw_dataset(planned: Workspace) -> None:
    cases = crops_of(planned.root)
    assert [(case.case_id, case.class_name) for case in cases] == [
        ("a", "PDAC"),
        ("b", "non-PDAC"),
        ("c", "PDAC"),
        ("d", "non-PDAC"),
    ]
    assert cases[0].image == planned.image_file("a")
    assert cases[0].labels == PANORAMA_NAMES
    assert crops_of(planned.raw, Layout.NNUNET) == cases


def test_patients_come_from_the_record_of_the_workspace(
    training_folder: Path, tmp_path: Path, recipe: MultiTaskRecipe
) -> None:
    shutil.copytree(training_folder, tmp_path / "data")
    rows = ["case_id,class_name,patient_id", "a,PDAC,p", "b,non-PDAC,q", "c,PDAC,r", "d,non-PDAC,s"]
    (tmp_path / "data" / "case_labels.csv").write_text("\n".join(rows) + "\n")
    workspace = prepare([tmp_path / "data"], tmp_path / "w", recipe, folds=2)
    assert [case.patient for case in crops_of(workspace.root)] == ["p", "q", "r", "s"]
    assert {case.patient for fold in "01" for case in validation_crops(workspace, fold)} == {"p", "q", "r", "s"}


def test_a_folds_own_crops(planned: Workspace) -> None:
    splits = read_json(planned.preprocessed / "splits_final.json")
    for fold in ("0", "1"):
        assert [case.case_id for case in validation_crops(planned, fold)] == splits[int(fold)]["val"]
    with pytest.raises(RequestError, match="fold 'all' trains on every case"):
        validation_crops(planned, "all")


def test_a_crop_that_is_gone(planned: Workspace, tmp_path: Path) -> None:
    shutil.copytree(planned.root, tmp_path / "w", symlinks=True, ignore=shutil.ignore_patterns("results"))
    workspace = workspace_at(tmp_path / "w")
    case_id = validation_crops(workspace, "1")[0].case_id
    workspace.label_file(case_id).unlink()
    with pytest.raises(DatasetError, match=rf"case '{case_id}' of fold 1 has no image or no label map"):
        validation_crops(workspace, "1")


def test_a_dataset_without_classes(training_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(training_folder, tmp_path / "data")
    (tmp_path / "data" / "case_labels.csv").unlink()
    with pytest.raises(DatasetError, match=r"case_labels\.csv' is missing; write one row"):
        crops_of(tmp_path / "data")

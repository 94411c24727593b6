"""Folds: stratified, grouped by patient, repeatable; given ones are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from ctcore.datasets.description import Fold
from ctcore.errors import DatasetError
from ctcore.files import read_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.folds import make_folds, write_splits
from ctcore.nnunet.workspace import Workspace

CLASSES = ("non-PDAC", "PDAC")


def cases_of(classes: Mapping[str, str | None], patients: Mapping[str, str] | None = None) -> list[TrainingCase]:
    known = patients or {}
    return [TrainingCase(c, Path(c), Path(c), name, patient_id=known.get(c, "")) for c, name in classes.items()]


def splits_of(root: Path, classes: dict[str, str], folds: int) -> list[dict[str, list[str]]]:
    workspace = Workspace(root, "Dataset007_Tiny")
    write_splits(workspace, cases_of(classes), folds)
    splits: list[dict[str, list[str]]] = read_json(workspace.preprocessed / "splits_final.json")
    return splits


def test_folds_are_stratified(tmp_path: Path) -> None:
    classes = {f"p{i}": "PDAC" for i in range(7)} | {f"n{i}": "non-PDAC" for i in range(11)}
    splits = splits_of(tmp_path, classes, 3)
    assert sorted(case for split in splits for case in split["val"]) == sorted(classes)
    for split in splits:
        assert sorted(split["train"] + split["val"]) == sorted(classes)
        counts = Counter(classes[case] for case in split["val"])
        assert counts["PDAC"] in (2, 3)
        assert counts["non-PDAC"] in (3, 4)


def test_folds_do_not_depend_on_the_order_of_cases(tmp_path: Path) -> None:
    classes = {f"c{i}": CLASSES[i % 2] for i in range(12)}
    backwards = dict(reversed(classes.items()))
    assert splits_of(tmp_path / "a", classes, 3) == splits_of(tmp_path / "b", backwards, 3)


@pytest.mark.parametrize("folds", [1, 3])
def test_folds_that_cannot_be_made(tmp_path: Path, folds: int) -> None:
    with pytest.raises(DatasetError, match=rf"{folds} folds cannot be made of .*'PDAC': 2"):
        splits_of(tmp_path, {"a": "PDAC", "b": "PDAC", "c": "non-PDAC", "d": "non-PDAC", "e": "non-PDAC"}, folds)


def test_a_patients_studies_stay_together() -> None:
    classes = {f"{patient}_{study}": CLASSES[patient % 2] for patient in range(12) for study in range(1 + patient // 8)}
    patients = {case_id: case_id.partition("_")[0] for case_id in classes}
    splits = make_folds(cases_of(classes, patients), 3)
    for split in splits:
        assert {patients[case_id] for case_id in split["val"]}.isdisjoint(
            patients[case_id] for case_id in split["train"]
        )
        assert Counter(CLASSES[int(patient) % 2] for patient in {patients[case_id] for case_id in split["val"]}) == {
            "PDAC": 2, "non-PDAC": 2,
        }  # fmt: skip


def test_a_patient_of_two_classes_counts_under_the_rarer() -> None:
    classes = {"1_1": "PDAC", "1_2": "non-PDAC", "2": "PDAC", "3": "non-PDAC", "4": "non-PDAC"}
    splits = make_folds(cases_of(classes, {"1_1": "1", "1_2": "1"}), 2)
    assert sorted(Counter(classes[case_id] for case_id in split["val"])["PDAC"] for split in splits) == [1, 1]


def test_cases_without_a_class_are_one_stratum() -> None:
    splits = make_folds(cases_of(dict.fromkeys("abcdef")), 3)
    assert [len(split["val"]) for split in splits] == [2, 2, 2]


def test_given_folds_are_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    write_splits(workspace, cases_of(dict.fromkeys("abc", "PDAC")), 5, [Fold(("a", "b"), ("c",))])
    assert read_json(workspace.preprocessed / "splits_final.json") == [{"train": ["a", "b"], "val": ["c"]}]

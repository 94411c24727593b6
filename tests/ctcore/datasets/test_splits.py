"""Given folds: what is kept of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.datasets.description import Fold
from ctcore.datasets.splits import folds_of, left_out_of_training, read_splits
from ctcore.errors import DatasetError
from tests.ctcore.datasets.layouts_on_disk import write_json_file

ALONE = {"a": "a", "b": "b", "c": "c"}
OFFICIAL = (Fold(None, ("a",)), Fold(None, ("b", "c")))


def test_both_forms(tmp_path: Path) -> None:
    write_json_file(tmp_path / "s.json", {"Fold 0 validation": ["a"], "Fold 1 validation": ["b", "c"]})
    assert read_splits(tmp_path / "s.json") == OFFICIAL
    write_json_file(tmp_path / "s.json", [{"train": ["a", "b"], "val": ["c"]}])
    assert read_splits(tmp_path / "s.json") == (Fold(("a", "b"), ("c",)),)


@pytest.mark.parametrize(
    "document", [{}, [], 3, {"Fold 0 validation": "a"}, [{"train": ["a"]}], [{"train": 1, "val": []}]]
)
def test_a_file_without_folds(tmp_path: Path, document: object) -> None:
    write_json_file(tmp_path / "s.json", document)
    with pytest.raises(DatasetError, match=r"s\.json' holds no folds"):
        read_splits(tmp_path / "s.json")


def test_official_folds_train_on_all_others() -> None:
    assert folds_of(OFFICIAL, ALONE) == [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}]


def test_cases_that_are_not_on_disk_are_left_out() -> None:
    folds = (Fold(("a", "b", "gone"), ("c", "lost")),)
    assert folds_of(folds, ALONE) == [{"train": ["a", "b"], "val": ["c"]}]


def test_a_patient_is_not_trained_and_validated_on() -> None:
    patients = {"1_1": "1", "1_2": "1", "2_1": "2", "3_1": "3"}
    folds = (Fold(None, ("1_1", "2_1")), Fold(None, ("1_2", "3_1")))
    assert folds_of(folds, patients) == [
        {"train": ["3_1"], "val": ["1_1", "2_1"]},
        {"train": ["2_1"], "val": ["1_2", "3_1"]},
    ]
    assert left_out_of_training(folds, patients) == {"1_1": [1], "1_2": [0]}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ((Fold(("a", "b"), ("b", "c")),), "case 'b' is in training and validation of fold 0"),
        ((Fold(None, ("a", "b")), Fold(None, ("b", "c"))), "case 'b' is in validation of folds 0 and 1"),
        ((Fold(("a",), ("b",)),), r"case 'c' \(one of 1\) is in no fold"),
        ((Fold(None, ("a", "b", "c")),), "fold 0 keeps 0 cases to train and 3 to validate on"),
        ((Fold(("a", "b", "c"), ("gone",)),), "fold 0 keeps 3 cases to train and 0 to validate on"),
    ],
)
def test_folds_that_cannot_be_used(folds: tuple[Fold, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        folds_of(folds, ALONE)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=20))
def test_no_patient_is_on_both_sides(studies: list[tuple[int, int]]) -> None:
    """Studies of (patient, fold); whatever the folds, training and validation share no patient and lose nobody else."""
    patients = {f"{number}": str(patient) for number, (patient, _) in enumerate(studies)}
    folds = [Fold(None, tuple(f"{n}" for n, (_, fold) in enumerate(studies) if fold == wanted)) for wanted in range(3)]
    try:
        result = folds_of(folds, patients)
    except DatasetError:
        return  # a fold without cases
    for fold, given_fold in zip(result, folds, strict=True):
        assert set(fold["val"]) == set(given_fold.validation)
        validated = {patients[case_id] for case_id in fold["val"]}
        assert set(fold["train"]) == {case_id for case_id, patient in patients.items() if patient not in validated}

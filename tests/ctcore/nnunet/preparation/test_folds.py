"""Folds: stratified, grouped by patient, repeatable; given ones are kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.datasets.description import Fold
from ctcore.errors import DatasetError
from ctcore.json_files import read_json, write_json
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


def test_patients_of_all_classes_make_as_many_folds_as_there_are_patients() -> None:
    classes = {f"{patient}{n}": name for patient in "abcd" for n, name in enumerate(("x", "y", "z", "z"))}
    patients = {case_id: case_id[0] for case_id in classes}
    splits = make_folds(cases_of(classes, patients), 4)
    assert sorted("".join(sorted({patients[case] for case in split["val"]})) for split in splits) == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_a_fold_that_would_lack_a_class_is_refused() -> None:
    """Of a, b and c two have y as well but count under x; d, the only one under y, is dealt to the first's fold."""
    refused = []
    for without in "abc":
        classes = {"d": "y"} | {f"{patient}x": "x" for patient in "abc"}
        classes |= {f"{patient}y": "y" for patient in "abc" if patient != without}
        try:
            make_folds(cases_of(classes, {case_id: case_id[0] for case_id in classes}), 3)
        except DatasetError as error:
            refused.append(str(error))
    assert len(refused) == 2
    for said in refused:
        assert re.fullmatch(
            r"3 folds cannot be made of these patients: fold [12] would validate on no 'y'; ask for fewer", said
        )


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


def test_given_folds_replace_those_of_the_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    for fold in (Fold(("a", "b"), ("c",)), Fold(("a", "c"), ("b",))):
        write_splits(workspace, cases_of(dict.fromkeys("abc", "PDAC")), 5, [fold])
    assert read_json(workspace.preprocessed / "splits_final.json") == [{"train": ["a", "c"], "val": ["b"]}]


def test_every_fold_has_small_middle_and_large_lesions() -> None:
    classes = {f"p{i:02}": "PDAC" for i in range(12)} | {f"n{i}": "non-PDAC" for i in range(4)}
    volumes = {f"p{i:02}": 1.0 + i for i in range(12)}  # p00 to p03 are small, p04 to p07 middle
    splits = make_folds(cases_of(classes), 4, volumes)
    for split in splits:
        sizes = [(int(case_id[1:]) // 4) for case_id in split["val"] if case_id[0] == "p"]
        assert sorted(sizes) == [0, 1, 2]
        assert len(split["val"]) == 4


def test_sizes_are_of_the_cases_with_lesions_alone() -> None:
    classes = {f"p{i}": "PDAC" for i in range(6)} | {f"n{i}": "non-PDAC" for i in range(60)}
    volumes = {f"p{i}": 10.0**i for i in range(6)} | {f"n{i}": 0.0 for i in range(60)}
    for split in make_folds(cases_of(classes), 2, volumes):
        assert sorted(int(case_id[1]) // 2 for case_id in split["val"] if case_id[0] == "p") == [0, 1, 2]


def test_a_patient_counts_by_the_largest_lesion() -> None:
    classes = dict.fromkeys(("1_1", "1_2", "2", "3", "4", "5", "6"), "PDAC")
    volumes = {"1_1": 0.1, "1_2": 6.0, "2": 5.0, "3": 4.0, "4": 3.0, "5": 2.0, "6": 1.0}
    patients = {"1_1": "1", "1_2": "1"}
    for split in make_folds(cases_of(classes, patients), 2, volumes):
        chosen = {case_id[0] for case_id in split["val"]}
        assert [len(chosen & pair) for pair in ({"1", "2"}, {"3", "4"}, {"5", "6"})] == [1, 1, 1]


def test_an_existing_workspace_keeps_its_folds(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    path = workspace.preprocessed / "splits_final.json"
    cases = cases_of(dict.fromkeys("abcd", "PDAC"))
    earlier = [{"train": ["a", "d"], "val": ["b", "c"]}, {"train": ["b", "c"], "val": ["a", "d"]}]
    for volumes in ({"a": 1.0, "d": 2.0, "b": 30.0, "c": 40.0}, {"a": 1.0, "b": 2.0, "c": 30.0, "d": 40.0}):
        write_json(path, earlier)
        write_splits(workspace, cases, 2, lesion_ml=volumes)
        assert read_json(path) == earlier
    for other in (cases[:3] + cases_of({"e": "PDAC"}), [*cases, *cases_of({"e": "PDAC"})]):
        write_json(path, earlier)
        write_splits(workspace, other, 2)
        assert sorted(case for split in read_json(path) for case in split["val"]) == sorted(c.case_id for c in other)
    write_splits(workspace, cases, 4)
    assert [len(split["val"]) for split in read_json(path)] == [1, 1, 1, 1]


def test_folds_that_divide_a_patient_are_not_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    path = workspace.preprocessed / "splits_final.json"
    write_json(path, [{"train": ["a", "d"], "val": ["b", "c"]}, {"train": ["b", "c"], "val": ["a", "d"]}])
    write_splits(workspace, cases_of(dict.fromkeys("abcd", "PDAC"), {"a": "1", "b": "1"}), 2)
    assert any({"a", "b"} <= set(split["val"]) for split in read_json(path))


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[TrainingCase], dict[str, float], int]:
    """Patients of up to three studies, of up to three classes, with and without lesions and pseudo-labels."""
    folds = draw(st.integers(2, 4))
    classes = draw(st.integers(1, 3))
    cases, volumes = [], {}
    for patient in range(draw(st.integers(classes * folds, classes * folds + 20))):
        name = f"class{patient % classes}"
        for study in range(draw(st.integers(1, 3))):
            case_id = f"{patient:03}_{study}"
            source = "pseudo" if study and draw(st.booleans()) else "manual"
            cases.append(
                TrainingCase(
                    case_id, Path(case_id), Path(case_id), name, patient_id=f"p{patient:03}", label_source=source
                )
            )
            volumes[case_id] = draw(st.sampled_from([0.0, 0.5, 1.0, 4.0, 9.0]))
    return cases, volumes, folds


@settings(max_examples=60, deadline=None)
@given(cohorts())
def test_folds_are_even_and_never_divide_a_patient(cohort: tuple[list[TrainingCase], dict[str, float], int]) -> None:
    cases, volumes, folds = cohort
    splits = make_folds(cases, folds, volumes)
    patient_of = {case.case_id: case.patient for case in cases}
    class_of = {case.case_id: case.class_name for case in cases}
    manual = {case.case_id for case in cases if case.label_source == "manual"}
    assert sorted(case_id for split in splits for case_id in split["val"]) == sorted(manual)
    validated = [{patient_of[case_id] for case_id in split["val"]} for split in splits]
    for split, patients in zip(splits, validated, strict=True):
        assert set(split["train"]) == {case_id for case_id in patient_of if patient_of[case_id] not in patients}
    sizes = [len(patients) for patients in validated]
    assert max(sizes) - min(sizes) <= 1
    for name in set(class_of.values()):
        numbers = [
            len({patient_of[case_id] for case_id in split["val"] if class_of[case_id] == name}) for split in splits
        ]
        assert max(numbers) - min(numbers) <= 1


def pseudo(case_id: str, name: str, patient_id: str = "") -> TrainingCase:
    return TrainingCase(case_id, Path(case_id), Path(case_id), name, patient_id=patient_id, label_source="pseudo")


def test_pseudo_labels_are_never_validated_on(tmp_path: Path) -> None:
    cases = [*cases_of(dict.fromkeys("abcd", "PDAC")), pseudo("x", "PDAC"), pseudo("a2", "PDAC", "a")]
    splits = make_folds(cases, 2)
    assert sorted(case_id for split in splits for case_id in split["val"]) == ["a", "b", "c", "d"]
    for split in splits:
        assert "x" in split["train"]
        assert ("a2" in split["train"]) == ("a" in split["train"])  # its patient is not parted
    folds = [Fold(None, ("a", "x")), Fold(("a", "x"), ("b", "c", "d", "a2"))]
    kept = Workspace(tmp_path, "Dataset007_Tiny")
    write_splits(kept, cases, 5, folds)
    assert read_json(kept.preprocessed / "splits_final.json") == [
        {"train": ["b", "c", "d", "x"], "val": ["a"]},
        {"train": ["a", "a2", "x"], "val": ["b", "c", "d"]},
    ]


def test_only_manual_labels_make_folds() -> None:
    with pytest.raises(DatasetError, match="2 folds cannot be made"):
        make_folds([pseudo("a", "PDAC"), pseudo("b", "PDAC")], 2)

"""Training cases: what is refused, and by which name; parallel preparation; folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ctcore.errors import CaseError, DatasetError, GeometryError, LabelError, RequestError
from ctcore.files import read, read_json, write
from ctcore.nnunet.dataset import (
    TrainingCase,
    find_training_cases,
    prepare_cases,
    read_case_labels,
    read_training_pair,
    write_case_labels,
    write_splits,
)
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Geometry, Volume

CLASSES = ("non-PDAC", "PDAC")
THREE = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC"}

MakeCases = Callable[..., Path]


def test_cases_are_found_with_their_classes(cases: MakeCases) -> None:
    folder = cases(THREE)
    found = find_training_cases([folder], CLASSES)
    assert [(case.case_id, case.class_name) for case in found] == sorted(THREE.items())
    assert found[0].image == folder / "imagesTr" / "a_0000.nii.gz"
    assert found[0].label == folder / "labelsTr" / "a.nii.gz"


def test_two_folders_are_one_dataset(cases: MakeCases) -> None:
    folders = [cases({"a": "PDAC"}, "one"), cases({"b": "non-PDAC"}, "two")]
    assert [case.case_id for case in find_training_cases(folders, CLASSES)] == ["a", "b"]


def test_a_case_in_two_folders(cases: MakeCases) -> None:
    folders = [cases({"a": "PDAC"}, "one"), cases({"a": "PDAC"}, "two")]
    with pytest.raises(DatasetError, match=r"case 'a' is in '.*two' and '.*one'"):
        find_training_cases(folders, CLASSES)


def test_a_missing_label_map(cases: MakeCases) -> None:
    folder = cases(THREE)
    (folder / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(DatasetError, match="case 'b' has no label map"):
        find_training_cases([folder], CLASSES)


def test_a_missing_class(cases: MakeCases) -> None:
    folder = cases(THREE)
    write_case_labels(folder / "case_labels.csv", {"a": "PDAC", "c": "PDAC"})
    with pytest.raises(DatasetError, match=r"case 'b' has no row in '.*case_labels\.csv'"):
        find_training_cases([folder], CLASSES)


def test_an_unknown_class(cases: MakeCases) -> None:
    folder = cases(THREE | {"b": "benign"})
    with pytest.raises(DatasetError, match=r"case 'b' has class 'benign'.*use non-PDAC or PDAC"):
        find_training_cases([folder], CLASSES)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="imagesTr' does not exist"):
        find_training_cases([tmp_path / "gone"], CLASSES)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("case,class\na,PDAC\n", r"has columns \['case', 'class'\]; it needs case_id and class_name"),
        ("", r"has columns None"),
        ("case_id,class_name\na,\n", "case 'a' has no class"),
        ("case_id,class_name\na\n", "case 'a' has no class"),
        ("case_id,class_name\na,PDAC\na,non-PDAC\n", "case 'a' is both 'PDAC' and 'non-PDAC'"),
    ],
)
def test_a_bad_table_of_classes(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "case_labels.csv"
    path.write_text(table)
    with pytest.raises(DatasetError, match=message):
        read_case_labels(path)


def test_a_missing_table_of_classes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"case_labels\.csv' is missing"):
        read_case_labels(tmp_path / "case_labels.csv")


def test_table_round_trip(tmp_path: Path) -> None:
    write_case_labels(tmp_path / "t.csv", THREE)
    assert read_case_labels(tmp_path / "t.csv") == THREE


def pair(folder: Path, image: Volume, label: Volume) -> TrainingCase:
    write(image, folder / "x_0000.nii.gz")
    write(label, folder / "x.nii.gz")
    return TrainingCase("x", folder / "x_0000.nii.gz", folder / "x.nii.gz", "PDAC")


def ct(geometry: Geometry) -> Volume:
    return Volume(np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape), geometry)


def test_a_pair_is_brought_to_lps(tmp_path: Path) -> None:
    to_the_right = Geometry((3, 4, 5), (1.0, 1.0, 1.0), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))
    image = ct(to_the_right)
    label = image.with_array((image.array % 2).astype(np.uint8))
    first, second = read_training_pair(pair(tmp_path, image, label), [0, 1])
    np.testing.assert_array_equal(first.array, image.array[:, :, ::-1])
    np.testing.assert_array_equal(second.array, label.array[:, :, ::-1])
    assert first.geometry.allclose(second.geometry)


def test_grids_that_differ(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    moved = Volume(np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)))
    with pytest.raises(GeometryError, match=r"case 'x': .*different grids"):
        read_training_pair(pair(tmp_path, image, moved), [0])


def test_fractional_labels(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    label = image.with_array(np.full((3, 4, 5), 0.5, np.float32))
    with pytest.raises(LabelError, match="case 'x': the label map holds fractions"):
        read_training_pair(pair(tmp_path, image, label), [0, 1])


@pytest.mark.parametrize("stray", [7, -1, 300])
def test_a_stray_label_value(tmp_path: Path, stray: int) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    array = np.zeros((3, 4, 5), np.int16)
    array[1, 1, 1] = stray
    with pytest.raises(LabelError, match=rf"case 'x': label values \[{stray}\] have no name"):
        read_training_pair(pair(tmp_path, image, image.with_array(array)), [0, 1])


def test_labels_stored_as_floats_are_accepted(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    label = image.with_array((image.array % 3).astype(np.float32))
    _, read_back = read_training_pair(pair(tmp_path, image, label), [0, 1, 2])
    assert read_back.array.dtype == np.uint8
    np.testing.assert_array_equal(read_back.array, image.array % 3)


def negate(folder: Path, case: TrainingCase) -> None:
    image = read(case.image)
    write(image.with_array(-image.array), folder / f"{case.case_id}.nii.gz")


def refuse_b(case: TrainingCase) -> None:
    if case.case_id == "b":
        raise LabelError("case 'b' is refused")


def test_two_processes_write_what_one_writes(cases: MakeCases, tmp_path: Path) -> None:
    found = find_training_cases([cases(THREE)], CLASSES)
    reports: list[tuple[int, int]] = []
    prepare_cases(found, partial(negate, tmp_path / "one"), progress=lambda *report: reports.append(report))
    prepare_cases(found, partial(negate, tmp_path / "two"), workers=2)
    for case_id in THREE:
        one, two = (tmp_path / folder / f"{case_id}.nii.gz" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert reports == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_fault_ends_preparation(cases: MakeCases, workers: int) -> None:
    found = find_training_cases([cases(THREE)], CLASSES)
    with pytest.raises(CaseError, match="case 'b' is refused"):
        prepare_cases(found, refuse_b, workers=workers)


def splits_of(root: Path, classes: dict[str, str], folds: int) -> list[dict[str, list[str]]]:
    workspace = Workspace(root, "Dataset007_Tiny")
    write_splits(workspace, classes, folds)
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

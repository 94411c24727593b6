"""Training cases: what is refused, and by which name; label values; links; parallel preparation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ctcore.datasets.case_labels import read_case_labels, write_case_labels
from ctcore.datasets.description import Layout
from ctcore.errors import CaseError, DatasetError, GeometryError, LabelError, RequestError
from ctcore.files import read, write
from ctcore.json_files import write_json
from ctcore.nnunet.preparation.dataset import (
    TrainingCase,
    link,
    prepare_cases,
    read_datasets,
    read_training_pair,
    record_cases,
    store_image,
    store_label,
    training_cases,
)
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Geometry, Volume
from tests.ctcore.datasets.layouts_on_disk import write_subtypes

CLASSES = ("non-PDAC", "PDAC")
THREE = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC"}

MakeCases = Callable[..., Path]


def test_cases_are_found_with_their_classes(cases: MakeCases) -> None:
    folder = cases(THREE)
    found = training_cases(read_datasets([folder]), CLASSES)
    assert [(case.case_id, case.class_name) for case in found] == sorted(THREE.items())
    assert found[0].image == folder / "imagesTr" / "a_0000.nii.gz"
    assert found[0].label == folder / "labelsTr" / "a.nii.gz"


def test_two_folders_are_one_dataset(cases: MakeCases) -> None:
    folders = [cases({"a": "PDAC"}, "one"), cases({"b": "non-PDAC"}, "two")]
    assert [case.case_id for case in training_cases(read_datasets(folders), CLASSES)] == ["a", "b"]


def test_a_case_in_two_folders(cases: MakeCases) -> None:
    folders = [cases({"a": "PDAC"}, "one"), cases({"a": "PDAC"}, "two")]
    with pytest.raises(DatasetError, match=r"case 'a' is in '.*two' and '.*one'"):
        read_datasets(folders)


def test_a_case_in_two_splits(tmp_path: Path) -> None:
    folder = write_subtypes(tmp_path)
    for name in ("quiz_0_000_0000.nii.gz", "quiz_0_000.nii.gz"):
        (folder / "validation" / "subtype1" / name).symlink_to(folder / "train" / "subtype0" / name)
    with pytest.raises(DatasetError, match=r"case 'quiz_0_000' is in '.*subtype1' and '.*subtype0'"):
        training_cases(read_datasets([folder], Layout.SUBTYPES), None)


def test_a_missing_label_map(cases: MakeCases) -> None:
    folder = cases(THREE)
    (folder / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(DatasetError, match="case 'b' has no label map"):
        training_cases(read_datasets([folder]), CLASSES)


def test_a_missing_class(cases: MakeCases) -> None:
    folder = cases(THREE)
    write_case_labels(folder / "case_labels.csv", {"a": "PDAC", "c": "PDAC"})
    with pytest.raises(DatasetError, match=r"case 'b' has no row in '.*case_labels\.csv'"):
        training_cases(read_datasets([folder]), CLASSES)


def test_an_unknown_class(cases: MakeCases) -> None:
    folder = cases(THREE | {"b": "benign"})
    with pytest.raises(DatasetError, match=r"case 'b' has class 'benign'.*use non-PDAC or PDAC"):
        training_cases(read_datasets([folder]), CLASSES)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="imagesTr' does not exist"):
        read_datasets([tmp_path / "gone"])


def pair(folder: Path, image: Volume, label: Volume) -> TrainingCase:
    write(image, folder / "x_0000.nii.gz")
    write(label, folder / "x.nii.gz")
    return TrainingCase("x", folder / "x_0000.nii.gz", folder / "x.nii.gz", "PDAC")


def ct(geometry: Geometry) -> Volume:
    return Volume((31 * np.arange(np.prod(geometry.shape)) - 900).astype(np.int16).reshape(geometry.shape), geometry)


def test_a_pair_is_brought_to_lps(tmp_path: Path) -> None:
    to_the_right = Geometry((3, 4, 5), (1.0, 1.0, 1.0), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))
    image = ct(to_the_right)
    label = image.with_array((image.array % 2).astype(np.uint8))
    result = read_training_pair(pair(tmp_path, image, label), {"background": 0, "lesion": 1})
    np.testing.assert_array_equal(result.image.array, image.array[:, :, ::-1])
    np.testing.assert_array_equal(result.label.array, label.array[:, :, ::-1])
    assert result.image.geometry.allclose(result.label.geometry)
    assert not result.image_as_stored
    assert not result.label_as_stored


def test_grids_that_differ(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    moved = Volume(np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)))
    with pytest.raises(GeometryError, match=r"case 'x': .*different grids"):
        read_training_pair(pair(tmp_path, image, moved), {"background": 0})


def test_fractional_labels(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    label = image.with_array(np.full((3, 4, 5), 0.5, np.float32))
    with pytest.raises(LabelError, match="case 'x': the label map holds fractions"):
        read_training_pair(pair(tmp_path, image, label), {"background": 0, "lesion": 1})


@pytest.mark.parametrize("stray", [7, -1, 300])
def test_a_stray_label_value(tmp_path: Path, stray: int) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    array = np.zeros((3, 4, 5), np.int16)
    array[1, 1, 1] = stray
    with pytest.raises(LabelError, match=rf"case 'x': label values \[{stray}\] have no name"):
        read_training_pair(pair(tmp_path, image, image.with_array(array)), {"background": 0, "lesion": 1})


def test_labels_stored_as_floats_are_accepted(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    label = image.with_array((image.array % 3).astype(np.float32))
    result = read_training_pair(pair(tmp_path, image, label), {"background": 0, "lesion": 1, "veins": 2})
    assert result.label.array.dtype == np.uint8
    np.testing.assert_array_equal(result.label.array, image.array % 3)
    assert result.image_as_stored
    assert not result.label_as_stored


def test_labels_are_brought_to_the_values_asked_for(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    label = image.with_array((image.array % 3).astype(np.uint8))
    stored = replace(pair(tmp_path, image, label), labels={"background": 0, "pancreas": 1, "Tumor": 2})
    result = read_training_pair(stored, {"background": 0, "lesion": 1, "pancreas": 2})
    np.testing.assert_array_equal(result.label.array, np.array([0, 2, 1])[image.array % 3])
    assert not result.label_as_stored
    unchanged = read_training_pair(stored, stored.labels)
    np.testing.assert_array_equal(unchanged.label.array, label.array)
    assert unchanged.label_as_stored


def test_what_is_not_changed_is_linked(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0)))
    case = pair(tmp_path, image, image.with_array((image.array % 2).astype(np.uint8)))
    read_pair = read_training_pair(case, {"background": 0, "lesion": 1})
    store_image(read_pair.image, read_pair, case, tmp_path / "raw" / "x_0000.nii.gz")
    store_label(read_pair.label, read_pair, case, tmp_path / "raw" / "x.nii.gz")
    assert (tmp_path / "raw" / "x_0000.nii.gz").readlink() == case.image
    assert (tmp_path / "raw" / "x.nii.gz").readlink() == case.label
    changed = read_pair.image.with_array(read_pair.image.array + np.int16(1))
    store_image(changed, read_pair, case, tmp_path / "raw" / "x_0000.nii.gz")
    assert not (tmp_path / "raw" / "x_0000.nii.gz").is_symlink()
    np.testing.assert_array_equal(read(case.image).array, image.array)  # the link is replaced, not written through
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["x.nii.gz", "x_0000.nii.gz"]


def test_what_was_flipped_is_not_linked(tmp_path: Path) -> None:
    image = ct(Geometry((3, 4, 5), (1.0, 1.0, 1.0), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)))
    case = pair(tmp_path, image, image.with_array((image.array % 2).astype(np.uint8)))
    read_pair = read_training_pair(case, {"background": 0, "lesion": 1})
    store_image(read_pair.image, read_pair, case, tmp_path / "raw" / "x_0000.nii.gz")
    store_label(read_pair.label, read_pair, case, tmp_path / "raw" / "x.nii.gz")
    for name, volume in (("x_0000.nii.gz", read_pair.image), ("x.nii.gz", read_pair.label)):
        assert not (tmp_path / "raw" / name).is_symlink()
        np.testing.assert_array_equal(read(tmp_path / "raw" / name).array, volume.array)


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "a.nii.gz").write_bytes(b"abc")
    link(tmp_path / "a.nii.gz", tmp_path / "raw" / "a.nii.gz")
    assert (tmp_path / "raw" / "a.nii.gz").read_bytes() == b"abc"
    assert not (tmp_path / "raw" / "a.nii.gz").is_symlink()


def test_cases_are_recorded(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Dataset007_Tiny")
    known = TrainingCase("b", Path("b_0000.nii.gz"), Path("b.nii.gz"), "PDAC", patient_id="p", source="manual_labels")
    weak = TrainingCase("a", Path("a_0000.nii.gz"), Path("a.nii.gz"), None, split="train", label_source="pseudo")
    record_cases(workspace, [known, weak])
    assert read_case_labels(workspace.case_labels_file) == {"b": "PDAC"}
    assert workspace.cases_file.read_text().splitlines() == [
        "case_id,class_name,patient_id,split,source,label_source,image,label",
        "a,,a,train,,pseudo,a_0000.nii.gz,a.nii.gz",
        "b,PDAC,p,,manual_labels,manual,b_0000.nii.gz,b.nii.gz",
    ]


def test_cases_can_be_left_out(cases: MakeCases) -> None:
    datasets = read_datasets([cases(THREE)])
    assert [case.case_id for case in training_cases(datasets, CLASSES, {"b"})] == ["a", "c"]
    with pytest.raises(DatasetError, match="no case is left to prepare; 3 were left out"):
        training_cases(datasets, CLASSES, set(THREE))


def test_a_table_of_classes_is_needed_only_for_classes(cases: MakeCases) -> None:
    folder = cases(THREE)
    (folder / "case_labels.csv").unlink()
    assert [case.class_name for case in training_cases(read_datasets([folder]), None)] == [None, None, None]
    with pytest.raises(DatasetError, match=r"case_labels\.csv' is missing; write one row"):
        training_cases(read_datasets([folder]), CLASSES)


def test_splits_of_one_of_two_inputs(cases: MakeCases) -> None:
    folders = [cases({"a": "PDAC"}, "one"), cases({"b": "PDAC"}, "two")]
    write_json(folders[1] / "splits_final.json", [{"train": ["b"], "val": ["b"]}])
    with pytest.raises(RequestError, match="splits are given for one of 2 inputs"):
        read_datasets(folders)


def negate(folder: Path, case: TrainingCase) -> float:
    image = read(case.image)
    write(image.with_array(-image.array), folder / f"{case.case_id}.nii.gz")
    return float(ord(case.case_id))


def refuse_b(case: TrainingCase) -> float:
    if case.case_id == "b":
        raise LabelError("case 'b' is refused")
    return 0.0


def test_two_processes_write_what_one_writes(cases: MakeCases, tmp_path: Path) -> None:
    found = training_cases(read_datasets([cases(THREE)]), CLASSES)
    reports: list[tuple[int, int]] = []
    prepare_cases(found, partial(negate, tmp_path / "one"), progress=lambda *report: reports.append(report))
    volumes = prepare_cases(found, partial(negate, tmp_path / "two"), workers=2)
    assert volumes == {"a": 97.0, "b": 98.0, "c": 99.0}
    for case_id in THREE:
        one, two = (tmp_path / folder / f"{case_id}.nii.gz" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert reports == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_fault_ends_preparation(cases: MakeCases, workers: int) -> None:
    found = training_cases(read_datasets([cases(THREE)]), CLASSES)
    with pytest.raises(CaseError, match="case 'b' is refused"):
        prepare_cases(found, refuse_b, workers=workers)

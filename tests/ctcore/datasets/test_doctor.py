"""The doctor: each fault made on purpose in a tiny dataset, and found under its code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctcore.datasets.description import Layout
from ctcore.datasets.doctor.diagnosis import Diagnosis
from ctcore.datasets.doctor.examine import examine
from ctcore.datasets.doctor.finding import Code
from ctcore.datasets.layouts import read_dataset
from ctcore.files import read, write
from ctcore.labels import CLASS_NAMES
from ctcore.volume import Geometry, Volume
from tests.ctcore.datasets.layouts_on_disk import (
    GEOMETRY,
    SHAPE,
    label_map,
    write_json_file,
    write_msd,
    write_nnunet,
    write_panorama,
    write_subtypes,
    write_table,
)

CLASSES = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC", "d": "non-PDAC"}


def diagnose(folder: Path, layout: Layout = Layout.NNUNET, splits: Path | None = None, **options: object) -> Diagnosis:
    return examine([read_dataset(folder, layout, splits)], **({"folds": 2} | options))  # type: ignore[arg-type]


def codes(diagnosis: Diagnosis) -> dict[str, list[str]]:
    return {case_id: [str(finding.code) for finding in found] for case_id, found in diagnosis.cases.items()}


def faults_of_the_dataset(diagnosis: Diagnosis) -> list[str]:
    return [str(finding.code) for finding in diagnosis.dataset if finding.fault]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sound cases in nnU-Net's layout."""
    return write_nnunet(tmp_path / "data", CLASSES)


def test_sound_datasets_have_no_findings(tmp_path: Path, folder: Path) -> None:
    studies = {"100001_00001": "non-PDAC", "100002_00001": "PDAC", "100003_00001": "PDAC", "100004_00001": "non-PDAC"}
    found = [
        diagnose(folder, class_names=CLASS_NAMES),
        diagnose(write_panorama(tmp_path / "p", studies), Layout.PANORAMA, class_names=CLASS_NAMES),
        diagnose(write_subtypes(tmp_path / "s"), Layout.SUBTYPES, class_names=("subtype0", "subtype1", "subtype2")),
    ]
    for diagnosis in found:
        assert diagnosis.cases == {}
        assert diagnosis.dataset == ()
        assert diagnosis.table() is None
        assert not diagnosis.to_json()["needs_a_person"]
    assert [diagnosis.examined for diagnosis in found] == [4, 4, 10]


def change_image(folder: Path, change: Callable[[Volume], Volume]) -> None:
    path = folder / "imagesTr" / "a_0000.nii.gz"
    write(change(read(path)), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.with_array(image.array + np.int16(1000)), "values from .* below -50 HU"),
        (lambda image: image.with_array((image.array / 300).astype(np.float32)), "values from"),
        (lambda image: image.with_array(image.array - np.int16(950)), "above 100 HU"),
        (lambda image: image.with_array(image.array.astype(np.float32) * 400), "beyond 16 bits"),
        (lambda image: image.with_array(np.zeros(SHAPE, np.int16)), "single value 0"),
        (lambda image: image.with_array(np.where(image.array > 900, np.nan, image.array)), "NaN or infinite"),
    ],
)
def test_not_a_ct(folder: Path, change: Callable[[Volume], Volume], message: str) -> None:
    change_image(folder, change)
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"a": ["not-ct"]}
    assert diagnosis.faulty == {"a"}
    assert re.search(message, diagnosis.cases["a"][0].message)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_unreadable_files(folder: Path, content: bytes | None) -> None:
    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/b.nii.gz"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"a": ["unreadable-image"], "b": ["unreadable-label"]}
    assert "a_0000.nii.gz" in diagnosis.cases["a"][0].message


MOVED = Geometry(SHAPE, GEOMETRY.spacing, (0.0, 4.0, 5.0))
WIDER = Geometry(SHAPE, (1.0, 1.5, 2.1), GEOMETRY.origin)
TURNED = Geometry(SHAPE, GEOMETRY.spacing, GEOMETRY.origin, (-1, 0, 0, 0, 1, 0, 0, 0, 1))
LARGER = Geometry((5, 6, 8), GEOMETRY.spacing, GEOMETRY.origin)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [(MOVED, "origin"), (WIDER, "spacing 1x1.5x2 and"), (TURNED, "direction"), (LARGER, "(5, 6, 8)")],
)
def test_other_grids(folder: Path, geometry: Geometry, message: str) -> None:
    write(label_map(4, 1, geometry=geometry), folder / "labelsTr" / "a.nii.gz")
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"a": ["grid-mismatch"]}
    assert message in diagnosis.cases["a"][0].message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((4, 1, 7, 8), ["stray-label"]),
        ((4, 1, -1), ["stray-label"]),
        ((), ["empty-label"]),
        ((2, 3), ["no-pancreas"]),
        ((4,), ["lesion-missing"]),
        ((9,), ["no-pancreas", "stray-label"]),
        ((4, 1, 2, 3, 5, 6), []),
    ],
)
def test_label_values(folder: Path, values: tuple[int, ...], expected: list[str]) -> None:
    write(label_map(*values, dtype=np.int16), folder / "labelsTr" / "a.nii.gz")
    assert codes(diagnose(folder)) == ({"a": expected} if expected else {})


def test_stray_values_are_named_with_their_voxels(folder: Path) -> None:
    write(label_map(4, 1, 7), folder / "labelsTr" / "a.nii.gz")
    assert "label values 7 (8 voxels) have no name" in diagnose(folder).cases["a"][0].message


def test_a_lesion_in_a_case_of_another_class(folder: Path) -> None:
    write(label_map(4, 1), folder / "labelsTr" / "b.nii.gz")
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"b": ["lesion-unexpected"]}
    assert diagnosis.cases["b"][0].message == "class 'non-PDAC', but 8 lesion voxels; correct one of the two"


def test_fractions(folder: Path) -> None:
    label = label_map(4, 1, dtype=np.float32)
    write(label.with_array(label.array * np.float32(1.1)), folder / "labelsTr" / "a.nii.gz")
    write(
        label.with_array(np.where(label.array == 1, 4.0, label.array) * np.float32(1.00001)),
        folder / "labelsTr" / "b.nii.gz",
    )
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"a": ["fractional-label"], "b": ["rounded-label"]}
    assert diagnosis.faulty == {"a"}


def test_duplicate_images_whatever_their_orientation_and_type(folder: Path) -> None:
    original = read(folder / "imagesTr" / "a_0000.nii.gz")
    flipped = Geometry(SHAPE, GEOMETRY.spacing, (4.0, 4.0, 5.0), (-1, 0, 0, 0, 1, 0, 0, 0, 1))
    write(
        Volume(np.ascontiguousarray(original.array[:, :, ::-1]).astype(np.float32), flipped),
        folder / "imagesTr/c_0000.nii.gz",
    )
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"c": ["duplicate-image", "grid-mismatch"]}
    assert diagnosis.cases["c"][0].message == "same voxels as case 'a'; keep one"


def test_a_test_image_that_is_trained_on_is_the_duplicate(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, ["pancreas_002", "pancreas_003"], ["pancreas_001"])
    write(read(folder / "imagesTr" / "pancreas_003.nii.gz"), folder / "imagesTs" / "pancreas_001.nii.gz")
    assert codes(diagnose(folder, Layout.MSD)) == {"pancreas_001": ["duplicate-image"]}


def test_what_is_missing(folder: Path) -> None:
    (folder / "labelsTr" / "a.nii.gz").unlink()
    write_table(folder / "case_labels.csv", ("case_id", "class_name"), [("a", "PDAC"), ("b", "benign"), ("c", "PDAC")])
    diagnosis = diagnose(folder, class_names=CLASS_NAMES)
    assert codes(diagnosis) == {"a": ["missing-label"], "b": ["unknown-class"], "d": ["missing-class"]}
    assert diagnosis.faulty == {"a", "b", "d"}
    without = diagnose(folder)
    assert codes(without) == {"a": ["missing-label"], "d": ["missing-class"]}
    assert without.faulty == {"a"}


def test_upper_case_extensions(folder: Path) -> None:
    path = folder / "imagesTr" / "a_0000.nii.gz"
    path.rename(path.with_name("a_0000.NII.GZ"))
    diagnosis = diagnose(folder)
    assert codes(diagnosis) == {"a": ["upper-case-extension"]}
    assert diagnosis.faulty == frozenset()


def test_a_case_in_two_splits(tmp_path: Path) -> None:
    folder = write_subtypes(tmp_path)
    for name in ("quiz_0_000_0000.nii.gz", "quiz_0_000.nii.gz"):
        write(read(folder / "train" / "subtype0" / name), folder / "validation" / "subtype1" / name)
    diagnosis = diagnose(folder, Layout.SUBTYPES)
    assert codes(diagnosis) == {"quiz_0_000": ["two-splits", "two-splits"]}
    assert "validation/subtype1/quiz_0_000_0000.nii.gz" in " ".join(f.message for f in diagnosis.cases["quiz_0_000"])


def test_splits_that_mix_cases_and_patients(tmp_path: Path) -> None:
    studies = {"100001_00001": "PDAC", "100001_00002": "PDAC", "100002_00001": "non-PDAC", "100003_00001": "non-PDAC"}
    folder = write_panorama(tmp_path / "data", studies)
    first, second, third, fourth = studies
    document = {"Fold 0 validation": [first, third], "Fold 1 validation": [second, fourth, third]}
    write_json_file(tmp_path / "splits.json", document)
    diagnosis = diagnose(folder, Layout.PANORAMA, tmp_path / "splits.json")
    assert codes(diagnosis) == {
        first: ["patient-in-two-splits"], second: ["patient-in-two-splits"], third: ["two-splits"],
    }  # fmt: skip
    assert diagnosis.faulty == {third}


def test_splits_that_leave_a_case_out(folder: Path) -> None:
    write_json_file(folder / "splits_final.json", [{"train": ["a", "b"], "val": ["c"]}])
    diagnosis = diagnose(folder)
    assert faults_of_the_dataset(diagnosis) == ["unusable-splits"]
    assert "case 'd' (one of 1) is in no fold" in diagnosis.dataset[0].message
    (folder / "labelsTr" / "d.nii.gz").unlink()
    assert faults_of_the_dataset(diagnose(folder)) == []


@pytest.mark.parametrize(("classes", "fault"), [(CLASS_NAMES, ["one-class"]), (None, [])])
def test_one_class_only(tmp_path: Path, classes: tuple[str, ...] | None, fault: list[str]) -> None:
    folder = write_nnunet(tmp_path, dict.fromkeys("abc", "PDAC"))
    diagnosis = diagnose(folder, class_names=classes)
    assert [str(finding.code) for finding in diagnosis.dataset] == ["one-class"]
    assert faults_of_the_dataset(diagnosis) == fault


def test_fewer_patients_than_folds(folder: Path) -> None:
    rows = [("a", "PDAC", "p"), ("c", "PDAC", "p"), ("b", "non-PDAC", ""), ("d", "non-PDAC", "")]
    write_table(folder / "case_labels.csv", ("case_id", "class_name", "patient_id"), rows)
    diagnosis = diagnose(folder)
    assert faults_of_the_dataset(diagnosis) == ["too-few-cases"]
    assert "too few patients of class 'PDAC' for 2 folds: 1" in diagnosis.dataset[0].message
    write_json_file(folder / "splits_final.json", [{"train": ["a", "b", "c"], "val": ["d"]}])
    assert diagnose(folder).dataset == ()


def test_no_classes(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, ["pancreas_001", "pancreas_002"])
    assert faults_of_the_dataset(diagnose(folder, Layout.MSD, class_names=CLASS_NAMES)) == ["no-classes"]
    assert faults_of_the_dataset(diagnose(folder, Layout.MSD)) == []


def test_labels_that_are_not_of_a_pancreas(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, CLASSES, labels={"background": 0, "liver": 1, "spleen": 4})
    assert faults_of_the_dataset(diagnose(folder)) == ["label-names"]


def test_labels_that_the_recipe_does_not_have(folder: Path) -> None:
    write(label_map(4, 1, 2), folder / "labelsTr" / "a.nii.gz")
    assert codes(diagnose(folder, label_names=("background", "Tumor", "pancreas"))) == {"a": ["stray-label"]}


def test_rows_without_files_are_a_count(tmp_path: Path) -> None:
    studies = {f"10000{number}_00001": name for number, name in enumerate(("PDAC", "non-PDAC") * 4)}
    folder = write_panorama(tmp_path, studies)
    for case_id in list(studies)[4:]:
        (folder / "images" / f"{case_id}_0000.nii.gz").unlink()
    diagnosis = diagnose(folder, Layout.PANORAMA)
    assert diagnosis.cases == {}
    assert diagnosis.to_json()["rows_without_image"] == 4
    assert list(diagnosis.summary()) == [
        "4 cases examined: 0 need a person, 0 more have notes",
        "4 rows of the table of classes have no image",
        "4 label maps have no image",
    ]


def test_two_processes_find_what_one_finds(folder: Path) -> None:
    write(label_map(4, 1, 7), folder / "labelsTr" / "a.nii.gz")
    write(read(folder / "imagesTr" / "a_0000.nii.gz"), folder / "imagesTr" / "d_0000.nii.gz")
    reports: list[tuple[int, int]] = []
    one = diagnose(folder, progress=lambda *report: reports.append(report))
    assert diagnose(folder, workers=2) == one
    assert codes(one) == {"a": ["stray-label"], "d": ["duplicate-image"]}
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_report(folder: Path) -> None:
    write(label_map(4, 1, 7), folder / "labelsTr" / "a.nii.gz")
    path = folder / "imagesTr" / "b_0000.nii.gz"
    path.rename(path.with_name("b_0000.NII.GZ"))
    diagnosis = diagnose(folder)
    document = diagnosis.to_json()
    assert document["cases"]["a"] == [
        {
            "code": "stray-label",
            "message": "label values 7 (8 voxels) have no name; correct the label map",
            "severity": "fault",
        }
    ]
    assert document["cases"]["b"][0]["severity"] == "note"
    assert document["needs_a_person"]
    table = diagnosis.table()
    assert table is not None
    assert [str(cell) for cell in table.columns[0].cells] == ["a", "b"]


def test_every_code_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for code in Code:
        assert f"| `{code}` |" in text

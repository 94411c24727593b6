"""Reading the four layouts: cases, classes, patients, sources, splits, label names."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from ctcore.datasets.description import Dataset, Fold, Layout
from ctcore.datasets.layouts import read_dataset
from ctcore.errors import DatasetError, RequestError
from ctcore.files import write
from ctcore.labels import PANORAMA_NAMES
from tests.ctcore.datasets.layouts_on_disk import (
    CLINICAL_HEADER,
    ct,
    label_map,
    write_json_file,
    write_msd,
    write_nnunet,
    write_panorama,
    write_subtypes,
    write_table,
)

STUDIES = {"100001_00001": "non-PDAC", "100002_00001": "PDAC", "100002_00002": "PDAC"}
SHARED = Path(__file__).parents[4] / "shared" / "data" / "panorama"


def by_id(dataset: Dataset, attribute: str) -> dict[str, object]:
    return {case.case_id: getattr(case, attribute) for case in dataset.cases}


def test_panorama(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, STUDIES, automatic=["100001_00001"])
    dataset = read_dataset(folder, Layout.PANORAMA)
    assert by_id(dataset, "class_name") == STUDIES
    assert by_id(dataset, "patient_id") == {
        "100001_00001": "100001", "100002_00001": "100002", "100002_00002": "100002",
    }  # fmt: skip
    assert by_id(dataset, "source") == {
        "100001_00001": "automatic_labels", "100002_00001": "manual_labels", "100002_00002": "manual_labels",
    }  # fmt: skip
    assert dataset.cases[0].image == folder / "images" / "100001_00001_0000.nii.gz"
    assert dataset.cases[0].label == folder / "automatic_labels" / "100001_00001.nii.gz"
    assert dataset.labels == dict(PANORAMA_NAMES)
    assert (dataset.rows_without_image, dataset.labels_without_image, dataset.folds) == (0, 0, ())


def test_panorama_of_two_label_maps_the_manual_one_counts(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, STUDIES)
    write(label_map(4), folder / "automatic_labels" / "100002_00001.nii.gz")
    case = read_dataset(folder, Layout.PANORAMA).cases[1]
    assert case.label == folder / "manual_labels" / "100002_00001.nii.gz"
    assert case.source == "manual_labels"


def test_panorama_rows_and_labels_without_image_are_counted(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, STUDIES)
    for case_id in ("100002_00001", "100002_00002"):
        (folder / "images" / f"{case_id}_0000.nii.gz").unlink()
    write(label_map(4), folder / "automatic_labels" / "100002_00001.nii.gz")
    dataset = read_dataset(folder, Layout.PANORAMA)
    assert (dataset.rows_without_image, dataset.labels_without_image) == (2, 2)


def test_panorama_case_without_row_or_label_map(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, STUDIES)
    write(ct(), folder / "images" / "100009_00001_0000.nii.gz")
    case = read_dataset(folder, Layout.PANORAMA).cases[-1]
    assert (case.class_name, case.patient_id, case.label, case.source) == (None, "100009", None, "")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (("PANORAMA_study_id", "label"), [("1", "PDAC")], r"it needs PANORAMA_patient_id"),
        (CLINICAL_HEADER, [("1", "1_1", "", "PDAC", ""), ("1", "1_1", "", "non-PDAC", "")], "study '1_1' is both"),
    ],
)
def test_a_panorama_table_that_cannot_be_used(
    tmp_path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]], message: str
) -> None:
    folder = write_panorama(tmp_path, STUDIES)
    write_table(folder / "clinical_information.csv", header, rows)
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder, Layout.PANORAMA)


def test_a_missing_panorama_table(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, STUDIES)
    (folder / "clinical_information.csv").unlink()
    with pytest.raises(DatasetError, match=r"holds none of clinical_information\.csv and clinical_information\.xlsx"):
        read_dataset(folder, Layout.PANORAMA)


def test_msd(tmp_path: Path) -> None:
    dataset = read_dataset(write_msd(tmp_path, ["pancreas_001", "pancreas_004"], ["pancreas_002"]), Layout.MSD)
    assert by_id(dataset, "split") == {"pancreas_001": "train", "pancreas_004": "train", "pancreas_002": "test"}
    assert dataset.labels == {"background": 0, "pancreas": 1, "lesion": 2}
    assert not dataset.has_classes
    assert by_id(dataset, "class_name") == dict.fromkeys(by_id(dataset, "split"))
    assert [case.label is None for case in dataset.cases] == [False, False, True]


def test_msd_with_classes_added(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, ["pancreas_001", "pancreas_004"])
    rows = [("pancreas_001", "PDAC", "7"), ("pancreas_004", "PDAC", "7"), ("pancreas_009", "PDAC", "8")]
    write_table(folder / "case_labels.csv", ("case_id", "class_name", "patient_id"), rows)
    dataset = read_dataset(folder, Layout.MSD)
    assert set(by_id(dataset, "class_name").values()) == {"PDAC"}
    assert set(by_id(dataset, "patient_id").values()) == {"7"}
    assert dataset.rows_without_image == 1


def test_msd_needs_its_label_names(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, ["pancreas_001"])
    (folder / "dataset.json").unlink()
    with pytest.raises(RequestError, match=r"dataset\.json' cannot be read"):
        read_dataset(folder, Layout.MSD)


def test_hidden_files_are_no_cases(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, ["pancreas_001"])
    for name in ("imagesTr/._pancreas_001.nii.gz", "labelsTr/._pancreas_001.nii.gz"):
        (folder / name).write_bytes(b"\0\5\x16\7")  # the real archive has them
    assert [case.case_id for case in read_dataset(folder, Layout.MSD).cases] == ["pancreas_001"]


def test_subtypes(tmp_path: Path) -> None:
    folder = write_subtypes(tmp_path)
    dataset = read_dataset(folder, Layout.SUBTYPES)
    assert Counter((case.split, case.class_name) for case in dataset.cases) == Counter(
        {("train", f"subtype{k}"): 2 for k in range(3)}
        | {("validation", f"subtype{k}"): 1 for k in range(3)}
        | {("test", None): 1}
    )
    case = next(case for case in dataset.cases if case.case_id == "quiz_1_000")
    assert case.image == folder / "train" / "subtype1" / "quiz_1_000_0000.nii.gz"
    assert case.label == folder / "train" / "subtype1" / "quiz_1_000.nii.gz"
    assert dataset.labels == {"background": 0, "pancreas": 1, "lesion": 2}
    train = ("quiz_0_000", "quiz_0_001", "quiz_1_000", "quiz_1_001", "quiz_2_000", "quiz_2_001")
    assert dataset.folds == (Fold(train, ("quiz_0_100", "quiz_1_100", "quiz_2_100")),)
    assert dataset.lesion_expected == {"subtype0": True, "subtype1": True, "subtype2": True}


def test_subtypes_given_from_inside(tmp_path: Path) -> None:
    folder = write_subtypes(tmp_path)
    with pytest.raises(DatasetError, match="give the folder above it"):
        read_dataset(folder / "train", Layout.SUBTYPES)


def test_subtypes_without_images(tmp_path: Path) -> None:
    folder = write_subtypes(tmp_path)
    for path in (folder / "train" / "subtype0").glob("*_0000.nii.gz"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"subtype0' holds no image named like"):
        read_dataset(folder, Layout.SUBTYPES)


def test_nnunet_is_the_default(tmp_path: Path) -> None:
    classes = {"a": "PDAC", "b": "non-PDAC"}
    dataset = read_dataset(write_nnunet(tmp_path, classes))
    assert dataset.layout == Layout.NNUNET
    assert by_id(dataset, "class_name") == classes
    assert by_id(dataset, "patient_id") == {"a": "a", "b": "b"}
    assert dataset.labels == dict(PANORAMA_NAMES)


def test_nnunet_with_its_own_label_names_and_splits(tmp_path: Path) -> None:
    labels = {"background": 0, "Pancreas": 1, "Tumor": 2}
    folder = write_nnunet(tmp_path, {"a": "PDAC", "b": "PDAC"}, labels=labels, channel_names={"0": "CT"})
    write_json_file(folder / "splits_final.json", [{"train": ["a"], "val": ["b"]}])
    (folder / "case_labels.csv").unlink()
    dataset = read_dataset(folder)
    assert dataset.labels == {"background": 0, "pancreas": 1, "lesion": 2}
    assert dataset.folds == (Fold(("a",), ("b",)),)
    assert not dataset.has_classes


def test_reports_and_label_sources(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, dict.fromkeys("abc", "PDAC"))
    header = ("case_id", "class_name", "lesion_count", "label_source")
    write_table(folder / "case_labels.csv", header, [("a", "PDAC", "2", "pseudo"), ("b", "PDAC", "", "")])
    dataset = read_dataset(folder)
    assert by_id(dataset, "lesion_count") == {"a": 2, "b": None, "c": None}
    assert by_id(dataset, "label_source") == {"a": "pseudo", "b": "manual", "c": "manual"}
    for row, message in (
        (("-1", ""), "lesion_count '-1' in"),
        (("", "guess"), "label_source 'guess' in .*; use manual"),
    ):
        write_table(folder / "case_labels.csv", header, [("a", "PDAC", *row)])
        with pytest.raises(DatasetError, match=message):
            read_dataset(folder)


def test_a_panorama_table_may_count_lesions(tmp_path: Path) -> None:
    folder = write_panorama(tmp_path, {"100002_00001": "PDAC"})
    header = (*CLINICAL_HEADER, "lesion_count")
    write_table(folder / "clinical_information.csv", header, [("100002", "100002_00001", "", "PDAC", "", "3")])
    assert by_id(read_dataset(folder, Layout.PANORAMA), "lesion_count") == {"100002_00001": 3}


def test_subtypes_in_nnunets_layout_have_lesions(tmp_path: Path) -> None:
    dataset = read_dataset(write_nnunet(tmp_path, {"a": "subtype1", "b": "non-PDAC", "c": "benign"}))
    assert dataset.lesion_expected == {"PDAC": True, "non-PDAC": False, "subtype1": True}


def test_other_splits_count_more(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, {"a": "PDAC", "b": "PDAC"})
    write_json_file(folder / "splits_final.json", [{"train": ["a"], "val": ["b"]}])
    write_json_file(tmp_path / "other.json", {"Fold 0 validation": ["a"], "Fold 1 validation": ["b"]})
    assert read_dataset(folder, splits=tmp_path / "other.json").folds == (Fold(None, ("a",)), Fold(None, ("b",)))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, r"label 'whole' of .* is \[1, 2\]"),
        ({"labels": {"background": 0, "tumor": 1, "cancer": 2}}, r"says 'lesion' = 2, but has that name"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, r"says 'b' = 1, but has"),
        ({"labels": {}}, "names no labels"),
        ({"labels": {"background": 0, "pancreas": 256}}, r"label 'pancreas' of .* is 256; use 0 to 255"),
        ([1], "names no labels"),
        ({"labels": {"background": 0, "pancreas": 1}, "channel_names": {"0": "CT", "1": "PET"}}, r"\['CT', 'PET'\]"),
    ],
)
def test_a_dataset_json_that_cannot_be_used(tmp_path: Path, document: object, message: str) -> None:
    folder = write_nnunet(tmp_path, {"a": "PDAC"})
    (folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder)


@pytest.mark.parametrize("layout", list(Layout))
def test_a_folder_that_does_not_exist(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises((RequestError, DatasetError), match="gone"):
        read_dataset(tmp_path / "gone", layout)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the PANORAMA table is not beside the project")
def test_the_real_panorama_table_and_folds(tmp_path: Path) -> None:
    write(ct(), tmp_path / "images" / "100047_00001_0000.nii.gz")
    (tmp_path / "clinical_information.csv").symlink_to(SHARED / "clinical_information.csv")
    dataset = read_dataset(tmp_path, Layout.PANORAMA, splits=SHARED / "stage1_splits.json")
    assert dataset.rows_without_image == 2237
    assert dataset.cases[0].patient_id == "100047"
    assert [len(fold.validation) for fold in dataset.folds] == [448, 448, 448, 447, 447]

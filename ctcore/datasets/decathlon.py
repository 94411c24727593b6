"""The layouts of the Medical Segmentation Decathlon (Task07) and of nnU-Net, which descends from it.

Both have `imagesTr`, `labelsTr`, `dataset.json`, and `imagesTs` for images without label maps.
"""

from __future__ import annotations

from pathlib import Path

from ctcore.datasets.case_labels import label_source_of, lesion_count_of, read_case_labels
from ctcore.datasets.description import LESION_EXPECTED, TEST, TRAIN, Dataset, DatasetCase, Layout
from ctcore.datasets.label_names import read_label_names
from ctcore.datasets.pairing import images_of, labels_of
from ctcore.datasets.splits import read_splits
from ctcore.datasets.spreadsheet import read_rows
from ctcore.errors import DatasetError
from ctcore.json_files import read_json
from ctcore.labels import PANORAMA_NAMES
from ctcore.text import safe_id

DATASET_FILE = "dataset.json"
CASE_LABELS_FILE = "case_labels.csv"
SPLITS_FILE = "splits_final.json"
SUBTYPE = "subtype"
"""What the classes of the three-subtype task begin with; all of them stand for a lesion."""


def read_msd(folder: Path) -> Dataset:
    """Reads a dataset of the Medical Segmentation Decathlon, which has no classes unless `case_labels.csv` is added.

    Raises:
        RequestError: `imagesTr` or `dataset.json` is missing, or a folder holds one case twice.
        DatasetError: `dataset.json` or `case_labels.csv` cannot be used.
    """
    return _read(folder, Layout.MSD, read_label_names(folder / DATASET_FILE))


def read_nnunet(folder: Path) -> Dataset:
    """Reads an nnU-Net raw dataset or a folder of phantoms.

    Without `dataset.json` the label maps hold PANORAMA's values. `case_labels.csv` (`case_id,class_name`, optionally
    `patient_id`, `lesion_count` and `label_source`) and `splits_final.json` are read where they are.

    Raises:
        RequestError: `imagesTr` is missing, or a folder holds one case twice.
        DatasetError: `dataset.json`, `case_labels.csv` or `splits_final.json` cannot be used.
    """
    described = (folder / DATASET_FILE).is_file()
    return _read(folder, Layout.NNUNET, read_label_names(folder / DATASET_FILE) if described else dict(PANORAMA_NAMES))


def _read(folder: Path, layout: Layout, labels: dict[str, int]) -> Dataset:
    train, test = images_of(folder / "imagesTr"), images_of(folder / "imagesTs", required=False)
    _require_one_channel(folder / DATASET_FILE)
    maps = labels_of(folder / "labelsTr")
    table, splits = folder / CASE_LABELS_FILE, folder / SPLITS_FILE
    classes = read_case_labels(table) if table.is_file() else {}
    rows = {safe_id(row["case_id"]): row for row in read_rows(table)} if classes else {}
    cases = [
        DatasetCase(
            case_id,
            image,
            maps.get(case_id) if split == TRAIN else None,
            classes.get(case_id),
            rows.get(case_id, {}).get("patient_id") or case_id,
            "labelsTr" if split == TRAIN and case_id in maps else "",
            split,
            lesion_count_of(rows.get(case_id, {}), table),
            label_source_of(rows.get(case_id, {}), table),
        )
        for split, images in ((TRAIN, train), (TEST, test))
        for case_id, image in images.items()
    ]
    return Dataset(
        layout,
        folder,
        tuple(cases),
        labels=labels,
        has_classes=table.is_file(),
        lesion_expected=dict(LESION_EXPECTED) | {name: True for name in classes.values() if name.startswith(SUBTYPE)},
        folds=read_splits(splits) if splits.is_file() else (),
        rows_without_image=len(classes.keys() - train.keys() - test.keys()),
        labels_without_image=len(maps.keys() - train.keys()),
    )


def _require_one_channel(path: Path) -> None:
    if not path.is_file():
        return
    document = read_json(path)
    channels = document.get("channel_names") or document.get("modality") or {}
    if len(channels) > 1:
        raise DatasetError(f"'{path}' has the channels {list(channels.values())}; give a dataset of one, the CT")

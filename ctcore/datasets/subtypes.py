"""The layout of the three-subtype reports: `train/subtype0/quiz_0_041_0000.nii.gz` with `quiz_0_041.nii.gz` beside it.

`validation` is laid out like `train`; `test` holds images alone.
"""

from __future__ import annotations

from pathlib import Path

from ctcore.datasets.description import TEST, TRAIN, VALIDATION, Dataset, DatasetCase, Fold, Layout
from ctcore.errors import DatasetError
from ctcore.files import case_id_of, image_suffix, label_id_of

LABELS = {"background": 0, "pancreas": 1, "lesion": 2}

CHANNEL = "_0000"
"""What tells an image from the mask beside it."""


def read_subtypes(folder: Path) -> Dataset:
    """Reads a dataset of the three-subtype layout; its classes are the folders' names.

    Raises:
        DatasetError: `train` holds no folder of a subtype, or a folder of a subtype no image.
    """
    cases: list[DatasetCase] = []
    classes: set[str] = set()
    without_image = 0
    for split in (TRAIN, VALIDATION):
        subtypes = sorted(path for path in (folder / split).glob("subtype*") if path.is_dir())
        if not subtypes and split == TRAIN:
            raise DatasetError(f"'{folder / split}' holds no folder subtype0, subtype1, ...; give the folder above it")
        for subtype in subtypes:
            images, masks = _pair(subtype)
            if not images:
                raise DatasetError(f"'{subtype}' holds no image named like quiz_0_041{CHANNEL}.nii.gz; check its files")
            classes.add(subtype.name)
            without_image += len(masks.keys() - images.keys())
            cases += [
                DatasetCase(
                    case_id, image, masks.get(case_id), subtype.name, case_id, split if case_id in masks else "", split
                )
                for case_id, image in images.items()
            ]
    train, validation = ([case.case_id for case in cases if case.split == split] for split in (TRAIN, VALIDATION))
    if (folder / TEST).is_dir():
        images, _ = _pair(folder / TEST)
        cases += [DatasetCase(case_id, image, None, None, case_id, "", TEST) for case_id, image in images.items()]
    return Dataset(
        Layout.SUBTYPES,
        folder,
        tuple(cases),
        labels=dict(LABELS),
        class_origin="its folder",
        lesion_expected=dict.fromkeys(sorted(classes), True),
        folds=(Fold(tuple(train), tuple(validation)),) if validation else (),
        labels_without_image=without_image,
    )


def _pair(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Returns the images and the masks of a folder by case id."""
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or image_suffix(path) is None:
            continue
        is_image = label_id_of(path).endswith(CHANNEL)
        found, case_id = (images, case_id_of(path)) if is_image else (masks, label_id_of(path))
        if case_id in found:
            raise DatasetError(f"'{path.name}' and '{found[case_id].name}' in '{folder}' are one case; remove one")
        found[case_id] = path
    return images, masks

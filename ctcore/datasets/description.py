"""What a dataset on disk holds, whatever its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ctcore.labels import NON_PDAC, PANORAMA_NAMES, PDAC

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"

MANUAL = "manual"
PSEUDO = "pseudo"
"""Where a label map comes from: a person or the dataset itself, or a network that knew how many lesions there are."""

LESION_EXPECTED: Mapping[str, bool] = {PDAC: True, NON_PDAC: False}
"""PANORAMA's classes, and whether their label maps hold a lesion."""


class Layout(StrEnum):
    """The layouts that can be read; see docs/datasets.md."""

    PANORAMA = "panorama"
    MSD = "msd"
    SUBTYPES = "subtypes"
    NNUNET = "nnunet"


@dataclass(frozen=True)
class DatasetCase:
    """One image of a dataset and what is known of it.

    Attributes:
        case_id: file stem without `_0000` and extension.
        image: the CT.
        label: its label map, or None.
        class_name: its patient-level class, or None.
        patient_id: the patient; studies of one patient share it.
        source: where the label map comes from: the name of its folder, or "" without one.
        split: `train`, `validation` or `test`, if its layout says so, else "".
        lesion_count: how many lesions its report counts, or None where nothing is said.
        label_source: `manual`, or `pseudo` for a label map whose lesion is a network's.
    """

    case_id: str
    image: Path
    label: Path | None
    class_name: str | None
    patient_id: str
    source: str = ""
    split: str = ""
    lesion_count: int | None = None
    label_source: str = MANUAL


@dataclass(frozen=True)
class Fold:
    """One division of a dataset.

    Attributes:
        train: case ids to train on; None: all that are not in `validation`.
        validation: case ids to validate on.
    """

    train: tuple[str, ...] | None
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Attributes:
        layout: how it is laid out.
        folder: where it is.
        cases: its images, sorted by split and case id; two may share an id, which the doctor reports.
        labels: label value by name, in this project's names (`lesion`, `pancreas`, ...).
        class_origin: where classes are read from, for messages.
        has_classes: whether the layout gives classes at all.
        lesion_expected: for each class of which it is known, whether its label maps hold a lesion.
        folds: the divisions that come with it; empty if none do.
        rows_without_image: rows of its table of classes that no image belongs to.
        labels_without_image: label maps that no image belongs to.
    """

    layout: Layout
    folder: Path
    cases: tuple[DatasetCase, ...]
    labels: Mapping[str, int] = field(default_factory=lambda: dict(PANORAMA_NAMES))
    class_origin: str = "case_labels.csv"
    has_classes: bool = True
    lesion_expected: Mapping[str, bool] = field(default_factory=lambda: dict(LESION_EXPECTED))
    folds: tuple[Fold, ...] = ()
    rows_without_image: int = 0
    labels_without_image: int = 0

"""Turning CTs with label maps into the low-resolution nnU-Net dataset that the localizer trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ctcore.files import write
from ctcore.labels import CLASS_NAMES, PANORAMA_NAMES, pancreas_mask
from ctcore.nnunet.dataset import (
    TrainingCase,
    find_training_cases,
    prepare_cases,
    read_training_pair,
    write_case_labels,
    write_splits,
)
from ctcore.nnunet.workspace import Workspace
from ctcore.resample import resample_to_spacing
from stage1_localizer.recipe import LocalizerRecipe

DATASET_NAME = "Dataset001_Localizer"
LABELS = {"background": 0, "pancreas": 1}
MASK_THRESHOLD = 0.5


def workspace_at(root: Path) -> Workspace:
    """Returns the stage-1 workspace in a folder."""
    return Workspace(root, DATASET_NAME)


def prepare(
    sources: Sequence[Path],
    root: Path,
    recipe: LocalizerRecipe,
    *,
    folds: int = 5,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Workspace:
    """Writes the nnU-Net raw dataset of a folder of CTs, label maps and classes.

    Images are brought to LPS and to the recipe's spacing by the same code that the localizer runs; the labels become
    one: pancreas (gland, duct and lesion).

    Args:
        sources: folders with `imagesTr`, `labelsTr` and `case_labels.csv`; case ids must differ among them.
        root: the workspace to make.
        recipe: fixes the spacing.
        folds: folds of the split, stratified by class.
        workers: processes.
        progress: called with cases done and in all.

    Raises:
        DatasetError, CaseError: as `ctcore.nnunet.dataset`.
    """
    workspace = workspace_at(root)
    cases = find_training_cases(sources, CLASS_NAMES)
    prepare_cases(cases, partial(prepare_case, workspace, recipe.spacing_mm), workers=workers, progress=progress)
    classes = {case.case_id: case.class_name for case in cases}
    write_splits(workspace, classes, folds)
    write_case_labels(workspace.case_labels_file, classes)
    workspace.write_dataset_json(LABELS, len(cases))
    return workspace


def prepare_case(workspace: Workspace, spacing_mm: tuple[float, float, float], case: TrainingCase) -> None:
    """Writes one case's low-resolution CT and pancreas mask."""
    image, label = read_training_pair(case, list(PANORAMA_NAMES.values()))
    low = resample_to_spacing(image, spacing_mm)
    share = resample_to_spacing(label.with_array(pancreas_mask(label.array).astype(np.float32)), spacing_mm)
    write(low.with_array(np.rint(low.array).astype(np.int16)), workspace.image_file(case.case_id))
    write(share.with_array((share.array >= MASK_THRESHOLD).astype(np.uint8)), workspace.label_file(case.case_id))

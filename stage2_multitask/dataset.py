"""Turning CTs with label maps into the nnU-Net dataset of ROI crops that the multi-task network trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ctcore.errors import LabelError
from ctcore.files import write
from ctcore.geometry import Box, crop
from ctcore.labels import pancreas_mask
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
from stage2_multitask.recipe import MultiTaskRecipe

DATASET_NAME = "Dataset002_MultiTask"


def workspace_at(root: Path) -> Workspace:
    """Returns the stage-2 workspace in a folder."""
    return Workspace(root, DATASET_NAME)


def prepare(
    sources: Sequence[Path],
    root: Path,
    recipe: MultiTaskRecipe,
    *,
    folds: int = 5,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Workspace:
    """Writes the nnU-Net raw dataset of ROI crops, and every case's class.

    Images are brought to LPS, cropped around the true pancreas with the recipe's margin, and brought to its spacing by
    the same code that inference runs.

    Args:
        sources: folders with `imagesTr`, `labelsTr` and `case_labels.csv`; case ids must differ among them.
        root: the workspace to make.
        recipe: fixes margin, spacing, labels and classes.
        folds: folds of the split, stratified by class.
        workers: processes.
        progress: called with cases done and in all.

    Raises:
        DatasetError, CaseError: as `ctcore.nnunet.dataset`; LabelError: a label map without pancreas.
    """
    workspace = workspace_at(root)
    cases = find_training_cases(sources, recipe.class_names)
    prepare_cases(cases, partial(prepare_case, workspace, recipe), workers=workers, progress=progress)
    classes = {case.case_id: case.class_name for case in cases}
    write_splits(workspace, classes, folds)
    write_case_labels(workspace.case_labels_file, classes)
    workspace.write_dataset_json(recipe.labels, len(cases))
    return workspace


def prepare_case(workspace: Workspace, recipe: MultiTaskRecipe, case: TrainingCase) -> None:
    """Writes one case's ROI crop and label map.

    Raises:
        LabelError: the label map holds no pancreas, so that there is no ROI.
    """
    image, label = read_training_pair(case, list(recipe.labels.values()))
    tight = Box.of_mask(pancreas_mask(label.array))
    if tight is None:
        raise LabelError(f"case '{case.case_id}': the label map holds no pancreas; leave the case out or label it")
    box = tight.expand_mm(recipe.margin_mm, image.geometry.spacing_zyx).clip(image.geometry.shape)
    roi = resample_to_spacing(crop(image, box), recipe.spacing_mm)
    labels = resample_to_spacing(crop(label, box), recipe.spacing_mm, "nearest")
    write(roi.with_array(np.rint(roi.array).astype(np.int16)), workspace.image_file(case.case_id))
    write(labels, workspace.label_file(case.case_id))

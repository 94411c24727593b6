"""Turning CTs with label maps into the nnU-Net dataset of ROI crops that the multi-task network trains on."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ctcore.datasets.description import Layout
from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from ctcore.errors import LabelError
from ctcore.geometry import Box, crop
from ctcore.nnunet.preparation.dataset import (
    TrainingCase,
    prepare_cases,
    read_datasets,
    read_training_pair,
    record_cases,
    store_image,
    store_label,
    training_cases,
)
from ctcore.nnunet.preparation.folds import check_folds, write_splits
from ctcore.nnunet.preparation.resume import prepare_once, remove_others
from ctcore.nnunet.provenance import recorded
from ctcore.nnunet.workspace import Workspace
from ctcore.resample import resample_to_spacing
from ctcore.volume import Geometry
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
    layout: Layout = Layout.NNUNET,
    splits: Path | None = None,
    leave_out: Collection[str] = (),
    folds: int = 5,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Workspace:
    """Writes the nnU-Net raw dataset of ROI crops, and every case's class.

    Images are brought to LPS, cropped around the true pancreas with the recipe's margin and jitter, and brought to its
    spacing by the same code that inference runs. A file that this leaves as it is is linked. Cases that were finished
    before are kept.

    Args:
        sources: datasets; case ids must differ among them.
        root: the workspace to make.
        recipe: fixes margin, spacing, labels and classes.
        layout: how the datasets are laid out.
        splits: file of folds to keep; else those that come with the dataset, else new ones.
        leave_out: case ids to pass over.
        folds: folds to make where none are given, stratified by class and lesion size, grouped by patient.
        workers: processes.
        progress: called with cases done and in all.

    Raises:
        DatasetError, CaseError: as `ctcore.nnunet.preparation.dataset`; LabelError: a label map without pancreas.
    """
    workspace = workspace_at(root)
    datasets = read_datasets(sources, layout, splits)
    cases = training_cases(datasets, recipe.needed_classes, leave_out)
    check_folds(cases, folds, datasets[0].folds)  # before hours of work, as it may refuse
    remove_others(workspace, cases)
    settings = recipe.model_dump(mode="json", include=set(recipe.fixed_by_prepare))
    task = partial(prepare_once, workspace, settings, partial(prepare_case, workspace, recipe))
    with recorded(workspace.prepared_with_file, recipe):
        lesion_ml = prepare_cases(cases, task, workers=workers, progress=progress)
        write_splits(workspace, cases, folds, datasets[0].folds, lesion_ml)
        record_cases(workspace, cases)
        workspace.write_dataset_json(recipe.labels, len(cases))
    return workspace


def prepare_case(workspace: Workspace, recipe: MultiTaskRecipe, case: TrainingCase) -> float:
    """Writes one case's ROI crop and label map; returns the volume of its lesions in ml.

    Raises:
        LabelError: the label map holds no pancreas, so that there is no ROI.
    """
    pair = read_training_pair(case, recipe.label_targets(case.class_name))
    image, label = pair.image, pair.label
    tight = Box.of_mask(np.isin(label.array, values_of(recipe.labels, PANCREAS_PARTS)))
    if tight is None:
        raise LabelError(f"case '{case.case_id}': the label map holds no pancreas; leave the case out or label it")
    box = training_roi(tight, recipe, image.geometry, case.case_id)
    roi = resample_to_spacing(crop(image, box), recipe.spacing_mm)
    labels = resample_to_spacing(crop(label, box), recipe.spacing_mm, "nearest")
    store_image(roi.with_array(np.rint(roi.array).astype(np.int16)), pair, case, workspace.image_file(case.case_id))
    store_label(labels, pair, case, workspace.label_file(case.case_id))
    return pair.lesion_ml


def training_roi(tight: Box, recipe: MultiTaskRecipe, geometry: Geometry, case_id: str) -> Box:
    """Returns the ROI of a training case: the pancreas box with the margin, each face moved by the recipe's jitter.

    Args:
        tight: box of the pancreas.
        recipe: gives margin and jitter.
        geometry: the CT's grid.
        case_id: what the jitter of a case follows from, so that preparing again gives the same.
    """
    generator = np.random.default_rng(np.frombuffer(case_id.encode(), np.uint8))
    jitter = generator.uniform(-recipe.margin_jitter_mm, recipe.margin_jitter_mm, (2, 3))
    before, after = (
        [math.ceil((margin + moved) / spacing) for margin, moved, spacing in zip(*terms, strict=True)]
        for terms in ((recipe.margin_mm, row, geometry.spacing_zyx) for row in jitter)
    )
    start = (tight.start[0] - before[0], tight.start[1] - before[1], tight.start[2] - before[2])
    stop = (tight.stop[0] + after[0], tight.stop[1] + after[1], tight.stop[2] + after[2])
    return Box(start, stop).clip(geometry.shape)

"""Turning CTs with label maps into the low-resolution nnU-Net dataset that the localizer trains on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ctcore.datasets.description import Layout
from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from ctcore.files import write
from ctcore.nnunet.preparation.dataset import (
    TrainingCase,
    prepare_cases,
    read_datasets,
    read_training_pair,
    record_cases,
    store_image,
    training_cases,
)
from ctcore.nnunet.preparation.folds import check_folds, write_splits
from ctcore.nnunet.preparation.resume import prepare_once, remove_others
from ctcore.nnunet.provenance import recorded
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
    layout: Layout = Layout.NNUNET,
    splits: Path | None = None,
    leave_out: Collection[str] = (),
    folds: int = 5,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Workspace:
    """Writes the nnU-Net raw dataset of CTs with label maps; classes only stratify the folds.

    Images are brought to LPS and to the recipe's spacing by the same code that the localizer runs; the labels become
    one: pancreas (gland, duct and lesion). A CT that needs neither is linked. Cases that were finished before are kept.

    Args:
        sources: datasets; case ids must differ among them.
        root: the workspace to make.
        recipe: fixes the spacing.
        layout: how the datasets are laid out.
        splits: file of folds to keep; else those that come with the dataset, else new ones.
        leave_out: case ids to pass over.
        folds: folds to make where none are given, stratified by class and lesion size, grouped by patient.
        workers: processes.
        progress: called with cases done and in all.

    Raises:
        DatasetError, CaseError: as `ctcore.nnunet.preparation.dataset`.
    """
    workspace = workspace_at(root)
    datasets = read_datasets(sources, layout, splits)
    cases = training_cases(datasets, None, leave_out)
    check_folds(cases, folds, datasets[0].folds)  # before hours of work, as it may refuse
    remove_others(workspace, cases)
    settings = recipe.model_dump(mode="json", include=set(recipe.fixed_by_prepare))
    task = partial(prepare_once, workspace, settings, partial(prepare_case, workspace, recipe.spacing_mm))
    with recorded(workspace.prepared_with_file, recipe):
        lesion_ml = prepare_cases(cases, task, workers=workers, progress=progress)
        write_splits(workspace, cases, folds, datasets[0].folds, lesion_ml)
        record_cases(workspace, cases)
        workspace.write_dataset_json(LABELS, len(cases))
    return workspace


def prepare_case(workspace: Workspace, spacing_mm: tuple[float, float, float], case: TrainingCase) -> float:
    """Writes one case's low-resolution CT and pancreas mask; returns the volume of its lesions in ml."""
    pair = read_training_pair(case, case.labels)
    low = resample_to_spacing(pair.image, spacing_mm)
    mask = np.isin(pair.label.array, values_of(case.labels, PANCREAS_PARTS))
    share = resample_to_spacing(pair.label.with_array(mask.astype(np.float32)), spacing_mm)
    store_image(low.with_array(np.rint(low.array).astype(np.int16)), pair, case, workspace.image_file(case.case_id))
    write(share.with_array((share.array >= MASK_THRESHOLD).astype(np.uint8)), workspace.label_file(case.case_id))
    return pair.lesion_ml

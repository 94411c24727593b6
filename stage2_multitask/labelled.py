"""ROI crops with label maps and classes that a multi-task network is measured on, wherever they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ctcore.datasets.description import Layout
from ctcore.datasets.layouts import read_dataset
from ctcore.errors import DatasetError
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.labelled import checked_cases, labelled_cases
from ctcore.nnunet.preparation.sources import recorded_cases
from ctcore.nnunet.training.validation import validation_ids
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import workspace_at


def crops_of(folder: Path, layout: Layout = Layout.NNUNET) -> list[TrainingCase]:
    """Returns the ROI crops of a dataset that have a label map.

    Args:
        folder: a dataset of crops, or a workspace that `prepare` made.
        layout: how the dataset is laid out.

    Raises:
        RequestError, DatasetError: as `ctcore.datasets.layouts.read_dataset`; no crop has a label map, two share an id,
            or there are no classes.
    """
    workspace = workspace_at(folder)
    if workspace.raw.is_dir():
        folder, layout = workspace.raw, Layout.NNUNET
    dataset = read_dataset(folder, layout)
    if not dataset.has_classes:
        raise DatasetError(
            f"'{folder / dataset.class_origin}' is missing; write one row `case_id,class_name` for each case"
        )
    cases = labelled_cases(dataset)
    if folder != workspace.raw:
        return cases
    patients = {case_id: row["patient_id"] for case_id, row in recorded_cases(workspace).items()}
    return [replace(case, patient_id=patients.get(case.case_id, case.patient_id)) for case in cases]


def validation_crops(workspace: Workspace, fold: str) -> list[TrainingCase]:
    """Returns the crops that a fold did not train on.

    Raises:
        RequestError: the fold has no validation cases.
        DatasetError: a crop of the fold has gone.
    """
    wanted = validation_ids(workspace, fold)
    crops = {case.case_id: case for case in crops_of(workspace.root)}
    gone = [case_id for case_id in wanted if case_id not in crops]
    if gone:
        raise DatasetError(
            f"case '{gone[0]}' of fold {fold} has no image or no label map in '{workspace.raw}'; run `prepare` again"
        )
    return checked_cases([crops[case_id] for case_id in wanted], f"fold {fold} of '{workspace.root}'")

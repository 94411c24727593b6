"""ROI crops with label maps and classes that a multi-task network is measured on, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ctcore.datasets.description import Layout
from ctcore.datasets.layouts import read_dataset
from ctcore.datasets.spreadsheet import read_rows
from ctcore.errors import DatasetError
from ctcore.files import read_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.labelled import checked_cases, labelled_cases
from ctcore.nnunet.training.validation import validation_ids
from ctcore.nnunet.workspace import Workspace
from stage2_multitask.dataset import workspace_at

PHANTOM_DATASET = "phantoms"
"""Name that `pipeline phantom` gives its datasets."""


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
    patients = {case_id: row["patient_id"] for case_id, row in _recorded(workspace).items()}
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


def sources_of(workspace: Workspace) -> str:
    """Returns in words what a workspace was prepared from: the folders, and which of them are phantoms."""
    folders = {Path(row["image"]).parent.parent for row in _recorded(workspace).values() if row.get("image")}
    return "; ".join(_described(folder) for folder in sorted(folders)) or "not recorded"


def are_phantoms(cases: Iterable[TrainingCase]) -> bool:
    """Tells whether some cases come from a folder of `pipeline phantom`, directly or through a workspace."""
    folders = {case.image.parent.parent for case in cases}
    originals = {
        Path(row["image"]).parent.parent
        for folder in folders
        if (folder / "cases.csv").is_file()
        for row in read_rows(folder / "cases.csv")
        if row.get("image")
    }
    return any(_is_phantoms(folder) for folder in folders | originals)


def _recorded(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Returns what `prepare` recorded of each case; empty if there is no record."""
    if not workspace.cases_file.is_file():
        return {}
    return {row["case_id"]: row for row in read_rows(workspace.cases_file)}


def _described(folder: Path) -> str:
    return f"{folder.name} (phantoms: synthetic CTs)" if _is_phantoms(folder) else folder.name


def _is_phantoms(folder: Path) -> bool:
    path = folder / "dataset.json"
    description = read_json(path) if path.is_file() else {}
    return isinstance(description, dict) and description.get("name") == PHANTOM_DATASET

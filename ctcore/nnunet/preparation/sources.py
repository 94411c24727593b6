"""Where the cases of a workspace come from, and whether they are phantoms."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ctcore.datasets.spreadsheet import read_rows
from ctcore.json_files import read_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.workspace import Workspace

PHANTOM_DATASET = "phantoms"
"""Name that `pipeline phantom` gives its datasets."""


def recorded_cases(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Returns what `prepare` recorded of each case, by its id; empty if there is no record."""
    if not workspace.cases_file.is_file():
        return {}
    return {row["case_id"]: row for row in read_rows(workspace.cases_file)}


def sources_of(workspace: Workspace) -> str:
    """Returns in words what a workspace was prepared from: the folders, and which of them are phantoms."""
    return "; ".join(_described(folder) for folder in sorted(_folders(workspace))) or "not recorded"


def are_phantoms(cases: Iterable[TrainingCase]) -> bool:
    """Tells whether some cases come from a folder of `pipeline phantom`, directly or through a workspace."""
    return _some_phantoms({case.image.parent.parent for case in cases})


def holds_phantoms(workspace: Workspace) -> bool:
    """Tells whether some cases of a workspace come from a folder of `pipeline phantom`, directly or through another."""
    return _some_phantoms(_folders(workspace))


def _folders(workspace: Workspace) -> set[Path]:
    return {Path(row["image"]).parent.parent for row in recorded_cases(workspace).values() if row.get("image")}


def _some_phantoms(folders: set[Path]) -> bool:
    originals = {
        Path(row["image"]).parent.parent
        for folder in folders
        if (folder / "cases.csv").is_file()
        for row in read_rows(folder / "cases.csv")
        if row.get("image")
    }
    return any(_is_phantoms(folder) for folder in folders | originals)


def _described(folder: Path) -> str:
    return f"{folder.name} (phantoms: synthetic CTs)" if _is_phantoms(folder) else folder.name


def _is_phantoms(folder: Path) -> bool:
    path = folder / "dataset.json"
    description = read_json(path) if path.is_file() else {}
    return isinstance(description, dict) and description.get("name") == PHANTOM_DATASET

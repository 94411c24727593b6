"""Preparation that goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcore.errors import RequestError
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.preparation.dataset import TrainingCase, lesion_ml_of
from ctcore.nnunet.workspace import Workspace

PREPARATION_VERSION = 1
"""To be raised when the same case would be prepared differently."""


LESION_ML = "lesion_ml"
"""What a record says beside what the case was prepared from: the volume of its lesions in ml."""


def prepare_once(
    workspace: Workspace, settings: Mapping[str, Any], prepare: Callable[[TrainingCase], float], case: TrainingCase
) -> float:
    """Prepares a case unless that was finished before, from the same files with the same settings.

    Its record is written last and removed first: where it is, the case's files are whole.

    Args:
        workspace: where to.
        settings: what the result depends on besides the files; as JSON has it.
        prepare: writes the case's image and label map; returns the volume of its lesions in ml.
        case: the case.

    Returns:
        The volume of its lesions in ml; of a finished case, as recorded.
    """
    record = workspace.prepared_file(case.case_id)
    wanted = {
        "version": PREPARATION_VERSION,
        "settings": dict(settings),
        "labels": dict(case.labels),
        "image": _state(case.image),
        "label": _state(case.label),
    }
    written = workspace.image_file(case.case_id).is_file() and workspace.label_file(case.case_id).is_file()
    before = read_json(record) if written and record.is_file() else {}
    volume_ml = before.pop(LESION_ML, None)
    if before != wanted:
        record.unlink(missing_ok=True)
        volume_ml = prepare(case)
    elif volume_ml is not None:
        return float(volume_ml)
    else:  # prepared before volumes were recorded
        volume_ml = lesion_ml_of(case)
    write_json(record, wanted | {LESION_ML: volume_ml})
    return volume_ml


def _state(path: Path) -> list[str | int]:
    """Returns what changes when a file does."""
    status = path.stat()
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def remove_others(workspace: Workspace, cases: Sequence[TrainingCase]) -> None:
    """Removes what an earlier or interrupted preparation left of other cases: nnU-Net would train on it.

    Raises:
        RequestError: the cases' own files are the ones that would be written.
    """
    for case in cases:
        if case.image.parent.resolve() == workspace.image_file(case.case_id).parent.resolve():
            raise RequestError(f"'{case.image.parents[1]}' is both --input and --output; give another --output")
    case_ids = [case.case_id for case in cases]
    wanted = {place(case_id) for case_id in case_ids for place in (workspace.image_file, workspace.label_file)}
    wanted |= {workspace.prepared_file(case_id) for case_id in case_ids}
    for folder in {path.parent for path in wanted}:
        if folder.is_dir():
            for path in folder.iterdir():
                if path not in wanted:
                    path.unlink()

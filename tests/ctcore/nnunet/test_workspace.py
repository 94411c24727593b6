"""Paths of a workspace, and what a missing step is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctcore.errors import DatasetError, FolderInUseError
from ctcore.lock import LOCK_NAME, locked
from ctcore.nnunet.workspace import Workspace, alone


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "Dataset012_Tiny")


def test_paths_are_nnunets(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.dataset_id == 12
    assert workspace.raw == tmp_path / "raw" / "Dataset012_Tiny"
    assert workspace.image_file("a").name == "a_0000.nii.gz"
    assert workspace.label_file("a") == workspace.raw / "labelsTr" / "a.nii.gz"
    assert workspace.plans_file == tmp_path / "preprocessed" / "Dataset012_Tiny" / "nnUNetPlans.json"


def test_dataset_json(workspace: Workspace) -> None:
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, 7)
    written = workspace.dataset_json()
    assert written == json.loads((workspace.raw / "dataset.json").read_text())
    assert (written["channel_names"], written["numTraining"]) == ({"0": "CT"}, 7)
    assert written["labels"] == {"background": 0, "pancreas": 1}


def test_a_missing_step_is_named(workspace: Workspace) -> None:
    with pytest.raises(DatasetError, match="run `prepare` first"):
        workspace.dataset_json()
    with pytest.raises(DatasetError, match="run `plan` first"):
        workspace.plans()


def test_one_command_at_a_time(workspace: Workspace) -> None:
    fold = workspace.root / "results" / "tiny" / workspace.dataset_name / "trainer" / "fold_0"
    with alone(workspace), pytest.raises(FolderInUseError), alone(workspace):
        pytest.fail("two commands prepare")
    with locked(fold), pytest.raises(FolderInUseError, match=r"fold_0' is in use"), alone(workspace):
        pytest.fail("prepared while a fold is trained")
    (fold / LOCK_NAME).touch()  # of a training that was killed
    with alone(workspace):
        pass
    assert not list(workspace.root.rglob(LOCK_NAME))


def test_what_a_killed_command_has_left_goes(workspace: Workspace) -> None:
    for folder in (workspace.root, workspace.raw, workspace.preprocessed):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".partial-x.json").touch()
    with alone(workspace):
        assert not list(workspace.root.rglob(".partial-*"))

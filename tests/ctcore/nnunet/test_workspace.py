"""Paths of a workspace, and what a missing step is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctcore.errors import DatasetError
from ctcore.nnunet.workspace import Workspace


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

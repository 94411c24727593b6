"""Preparation is continued, not repeated; what is no longer wanted goes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from ctcore.errors import RequestError
from ctcore.files import write
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.preparation.resume import prepare_once, remove_others
from ctcore.nnunet.workspace import Workspace
from ctcore.volume import Geometry, Volume

SETTINGS = {"spacing_mm": [1.0, 2.0, 3.0]}


class Preparing:
    """Writes both files of a case and counts how often."""

    def __init__(self, workspace: Workspace, fails: bool = False) -> None:
        self.workspace, self.fails, self.times = workspace, fails, 0

    def __call__(self, case: TrainingCase) -> float:
        self.times += 1
        for path in (self.workspace.image_file(case.case_id), self.workspace.label_file(case.case_id)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"from {case.case_id}")
            if self.fails:
                raise KeyboardInterrupt
        return 1.5


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w", "Dataset007_Tiny")


@pytest.fixture
def case(tmp_path: Path) -> TrainingCase:
    for name in ("a_0000.nii.gz", "a.nii.gz"):
        (tmp_path / name).write_bytes(b"as it was")
    return TrainingCase("a", tmp_path / "a_0000.nii.gz", tmp_path / "a.nii.gz", "PDAC")


def times_prepared_again(workspace: Workspace, case: TrainingCase, settings: dict[str, list[float]] = SETTINGS) -> int:
    again = Preparing(workspace)
    prepare_once(workspace, settings, again, case)
    return again.times


def test_a_finished_case_is_kept(workspace: Workspace, case: TrainingCase) -> None:
    assert times_prepared_again(workspace, case) == 1
    assert times_prepared_again(workspace, case) == 0


def test_the_volume_of_lesions_is_recorded(workspace: Workspace, case: TrainingCase) -> None:
    for _ in range(2):
        assert prepare_once(workspace, SETTINGS, Preparing(workspace), case) == 1.5
    assert read_json(workspace.prepared_file("a"))["lesion_ml"] == 1.5


def test_a_case_prepared_before_volumes_were_recorded(workspace: Workspace, tmp_path: Path) -> None:
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, :2, :3] = 1
    write(Volume(array, Geometry(array.shape, (5.0, 10.0, 20.0))), tmp_path / "old.nii.gz")
    old = TrainingCase("old", tmp_path / "old.nii.gz", tmp_path / "old.nii.gz", "PDAC")
    prepare_once(workspace, SETTINGS, Preparing(workspace), old)
    record = workspace.prepared_file("old")
    write_json(record, {key: value for key, value in read_json(record).items() if key != "lesion_ml"})
    again = Preparing(workspace)
    for _ in range(2):
        assert prepare_once(workspace, SETTINGS, again, old) == 6.0  # six voxels of one ml
        assert read_json(record)["lesion_ml"] == 6.0
    assert again.times == 0


def test_an_interrupted_case_is_done_again(workspace: Workspace, case: TrainingCase) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare_once(workspace, SETTINGS, Preparing(workspace, fails=True), case)
    assert times_prepared_again(workspace, case) == 1


def test_an_interruption_of_the_second_time_is_noticed(workspace: Workspace, case: TrainingCase) -> None:
    prepare_once(workspace, SETTINGS, Preparing(workspace), case)
    with pytest.raises(KeyboardInterrupt):
        prepare_once(workspace, {"spacing_mm": [9.0]}, Preparing(workspace, fails=True), case)
    assert times_prepared_again(workspace, case) == 1


def test_other_settings_other_files(workspace: Workspace, case: TrainingCase) -> None:
    prepare_once(workspace, SETTINGS, Preparing(workspace), case)
    assert times_prepared_again(workspace, case, {"spacing_mm": [1.0, 2.0, 4.0]}) == 1


@pytest.mark.parametrize("which", ["image", "label"])
def test_changed_sources(workspace: Workspace, case: TrainingCase, which: str) -> None:
    prepare_once(workspace, SETTINGS, Preparing(workspace), case)
    time.sleep(0.01)
    (case.image if which == "image" else case.label).write_bytes(b"is now so")  # of the same length
    assert times_prepared_again(workspace, case) == 1


def test_missing_results(workspace: Workspace, case: TrainingCase) -> None:
    prepare_once(workspace, SETTINGS, Preparing(workspace), case)
    workspace.label_file("a").unlink()
    assert times_prepared_again(workspace, case) == 1


def test_other_cases_are_removed(workspace: Workspace, case: TrainingCase) -> None:
    remove_others(workspace, [case])  # nothing there yet
    other = TrainingCase("b", case.image, case.label, None)
    for each in (case, other):
        prepare_once(workspace, SETTINGS, Preparing(workspace), each)
    workspace.image_file(".partial-xyz").write_bytes(b"")
    remove_others(workspace, [case])
    left = sorted(path.name for path in workspace.root.rglob("*") if path.is_file())
    assert left == ["a.json", "a.nii.gz", "a_0000.nii.gz"]
    assert case.image.is_file()


def test_a_workspace_is_not_prepared_from_itself(workspace: Workspace, case: TrainingCase) -> None:
    prepare_once(workspace, SETTINGS, Preparing(workspace), case)
    own = TrainingCase("a", workspace.image_file("a"), workspace.label_file("a"), None)
    with pytest.raises(RequestError, match="is both --input and --output"):
        remove_others(workspace, [own])
    assert workspace.image_file("a").is_file()

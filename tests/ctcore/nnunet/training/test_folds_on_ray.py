"""Folds on a real Ray cluster of two cores: lost processes, faults, and folders that are not shared."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from ctcore.errors import DatasetError, RequestError, TrainingError
from ctcore.nnunet.training.folds_on_ray import LOSSES_OF_A_FOLD, FoldTrainer, train_folds
from ctcore.ray_cluster import RayRequest


def train(folder: Path, fold: str, resume: bool, *, deadly: int = 0, faulty: bool = False) -> Path:
    """Notes that it was called; fold 1 ends its process so often."""
    record = folder / fold
    with record.open("a", encoding="utf-8") as file:
        file.write(f"{resume} ")
    if fold == "1" and len(record.read_text(encoding="utf-8").split()) <= deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if faulty and fold == "1":
        raise DatasetError("fold 1 has no cases")
    return record


@pytest.mark.slow
def test_a_fold_goes_on_where_its_process_was_killed(ray_cluster: str, tmp_path: Path) -> None:
    job, request = partial(train, tmp_path, deadly=1), RayRequest(ray_cluster)
    assert sorted(train_folds(job, ["0", "1", "2"], resume=False, request=request)) == ["0", "1", "2"]
    assert {fold: (tmp_path / fold).read_text() for fold in "012"} == {"0": "False ", "1": "False True ", "2": "False "}


def test_a_fault_of_a_fold_is_told(ray_cluster: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="fold 1 has no cases"):
        list(train_folds(partial(train, tmp_path, faulty=True), ["1"], resume=True, request=RayRequest(ray_cluster)))


@pytest.mark.slow
def test_a_fold_that_ends_its_processes_has_failed(ray_cluster: str, tmp_path: Path) -> None:
    job = partial(train, tmp_path, deadly=99)
    with pytest.raises(TrainingError, match=r"the process of fold 1 has ended 3 times .*; give it more memory"):
        list(train_folds(job, ["1"], resume=True, request=RayRequest(ray_cluster)))
    assert (tmp_path / "1").read_text() == "True " * LOSSES_OF_A_FOLD


def test_paths_begin_where_the_command_was_called(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    FoldTrainer().train(partial(train, Path("w")), tmp_path, "0", True)
    assert (tmp_path / "w" / "0").read_text() == "True "
    with pytest.raises(RequestError, match="a worker does not see the folder that the command was called in, '/nowh"):
        FoldTrainer().train(partial(train, Path("w")), Path("/nowhere"), "0", True)

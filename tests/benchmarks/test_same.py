"""Times may differ, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import torch

from benchmarks.same import differences
from ctcore.durable import write_text
from ctcore.json_files import write_json

RUN = {
    "started": "2030-01-01",
    "wall_seconds": 1.0,
    "phase_seconds": {"read": 1.0},
    "options": {"deterministic": False},
    "cases": [{"case_id": "a", "status": "done", "reused": False, "seconds": 1.0}],
}


def write_run(folder: Path, *, deterministic: bool = False, seconds: float = 1.0) -> Path:
    run = json.loads(json.dumps(RUN))
    run["options"]["deterministic"] = deterministic
    run |= {"wall_seconds": seconds, "started": f"at {seconds}"}
    run["cases"][0] |= {"seconds": seconds, "reused": seconds > 1}
    write_json(folder / "run.json", run)
    write_json(folder / "cases" / "a.json", {"score": 0.5, "seconds": {"read": seconds}})
    write_text(folder / "results.csv", f"case_id,score,seconds\na,0.5,{seconds}\n")
    write_text(folder / "report" / "index.html", f"took {seconds}")
    write_text(folder / "run.log", f"{seconds}")
    write_text(folder / "detection_maps" / "a.nii.gz", "voxels")
    return folder


def test_times_do_not_count(tmp_path: Path) -> None:
    assert differences(write_run(tmp_path / "a"), write_run(tmp_path / "b", seconds=2.0)) == []


def test_in_deterministic_runs_everything_counts(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", deterministic=True)
    assert differences(a, write_run(tmp_path / "b", deterministic=True)) == []
    assert differences(a, write_run(tmp_path / "c", deterministic=True, seconds=2.0)) == [
        f"different: {name}" for name in ("cases/a.json", "report/index.html", "results.csv", "run.json")
    ]


def unlink(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    path.rename(path.with_name("run.log"))
    path.symlink_to("run.log")


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("detection_maps/a.nii.gz", lambda path: path.write_text("other"), "different: detection_maps/a.nii.gz"),
        ("detection_maps/a.nii.gz", unlink, "only in one: detection_maps/a.nii.gz"),
        ("detection_maps/a.nii.gz", link, "a link in one: detection_maps/a.nii.gz"),
        ("cases/a.json", lambda path: write_json(path, {"score": 0.6, "seconds": {}}), "different: cases/a.json"),
        ("results.csv", lambda path: path.write_text("case_id,score,seconds\na,0.6,1\n"), "different: results.csv"),
        ("run.json", lambda path: write_json(path, RUN | {"cases": []}), "different: run.json"),
        ("cases/.partial-x", lambda path: path.write_text(""), "only in one: cases/.partial-x"),
    ],
)
def test_all_else_counts(tmp_path: Path, name: str, change: Callable[[Path], Any], told: str) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    change(b / name)
    assert differences(a, b) == [told]


def test_prepared_arrays_are_compared_by_value(tmp_path: Path) -> None:
    def save(name: str, value: float, level: int) -> Path:
        (tmp_path / name).mkdir()
        array = np.full((8, 8, 8), value, np.float32)
        blosc2.asarray(array, urlpath=str(tmp_path / name / "a.b2nd"), cparams={"clevel": level})
        return tmp_path / name

    a, other_bytes = save("a", 1.0, 1), save("b", 1.0, 9)
    assert (a / "a.b2nd").read_bytes() != (other_bytes / "a.b2nd").read_bytes()
    assert differences(a, other_bytes) == []
    assert differences(a, save("c", 2.0, 1)) == ["different: a.b2nd"]


def test_checkpoints_are_compared_by_value(tmp_path: Path) -> None:
    def save(name: str, weight: float, stamp: float) -> Path:
        (tmp_path / name).mkdir()
        logging = {"local_logger": {"epoch_start_timestamps": [stamp], "val_losses": [0.5]}}
        torch.save({"network_weights": {"w": torch.tensor([weight])}, "logging": logging}, tmp_path / name / "c.pth")
        return tmp_path / name

    a = save("a", 1.0, 1.0)
    assert differences(a, save("b", 1.0, 2.0)) == []
    assert differences(a, save("c", 1.5, 1.0)) == ["different: c.pth"]

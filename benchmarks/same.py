"""Whether two folders that a command has written are the same, but for the times that they tell.

Compared byte for byte, except:

- left out: logs (`run.log`, `training_log_*.txt`), the curves of trainings (TensorBoard's, `epochs.json`,
  `training.html`, nnU-Net's `progress.png`) and its `debug.json` (places in memory): they tell when and where things
  happened; `.lock`;
- of `run.json`: `started`, `wall_seconds`, `phase_seconds`, and of each case `seconds` and `reused`; of `cases/*.json`:
  `seconds`; of `results.csv` and `cases.csv` the column `seconds`; pages of `report/`, which show them.
  Deterministic runs tell none of these, so that nothing of theirs is left out but the log;
- of checkpoints (`*.pth`): the time stamps of epochs; all else is compared value by value, as zip archives are not made
  to be the same;
- nnU-Net's prepared arrays (`*.b2nd`) are compared value by value: blosc2 stores blocks in the order in which its
  threads finish.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

LEFT_OUT = ("run.log", "progress.png", "debug.json", "epochs.json", "training.html", ".lock")
LEFT_OUT_PREFIXES = ("training_log_", "events.out.tfevents")
RUN_TIMES = ("started", "wall_seconds", "phase_seconds")
STAMPS = ("epoch_start_timestamps", "epoch_end_timestamps")


def files_of(folder: Path) -> dict[str, Path]:
    """Returns the files that are compared, by their names relative to the folder."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in LEFT_OUT and not path.name.startswith(LEFT_OUT_PREFIXES)
    }


def differences(first: Path, second: Path) -> list[str]:
    """Returns a line for every file that is missing in one of two folders, or not the same."""
    a, b = files_of(first), files_of(second)
    timed = not _deterministic(first)
    found = [f"only in one: {name}" for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        if a[name].is_symlink() != b[name].is_symlink():
            found.append(f"a link in one: {name}")
        elif not _same(name, a[name], b[name], timed=timed):
            found.append(f"different: {name}")
    return found


def _deterministic(folder: Path) -> bool:
    run = folder / "run.json"
    return run.is_file() and bool(json.loads(run.read_text(encoding="utf-8"))["options"]["deterministic"])


def _same(name: str, first: Path, second: Path, *, timed: bool) -> bool:
    if first.suffix == ".pth":
        return _same_values(_checkpoint(first), _checkpoint(second))
    if first.read_bytes() == second.read_bytes():
        return True
    if first.suffix == ".b2nd":
        return _same_arrays(first, second)
    if not timed:
        return False
    page = name.startswith("report/") and first.suffix == ".html"
    return page or _without_times(name, first) == _without_times(name, second)


def _without_times(name: str, path: Path) -> Any:
    """Returns what a file says, without its times; as bytes where it has none."""
    if name == "run.json":
        record = json.loads(path.read_text(encoding="utf-8"))
        for key in RUN_TIMES:
            record.pop(key)
        for case in record["cases"]:
            del case["seconds"], case["reused"]
        return record
    if name.startswith("cases/") and path.suffix == ".json":
        record = json.loads(path.read_text(encoding="utf-8"))
        record.pop("seconds")
        return record
    if name in ("results.csv", "cases.csv"):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        for row in rows:
            row.pop("seconds", None)
        return rows
    return path.read_bytes()


def _same_arrays(first: Path, second: Path) -> bool:
    import blosc2
    import numpy as np

    a, b = (blosc2.open(urlpath=str(path), mode="r")[:] for path in (first, second))
    return a.dtype == b.dtype and bool(np.array_equal(a, b))


def _checkpoint(path: Path) -> Any:
    import torch

    state = torch.load(path, weights_only=True)
    for stamps in STAMPS:
        _remove(state["logging"], stamps)
    return state


def _remove(value: Any, key: str) -> None:
    """Removes a key wherever nested dictionaries have it."""
    if isinstance(value, dict):
        value.pop(key, None)
        for each in value.values():
            _remove(each, key)


def _same_values(first: Any, second: Any) -> bool:
    """Tells whether nested values are equal, tensors to the bit."""
    import torch

    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(_same_values(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_same_values, first, second))
    return bool(first == second)

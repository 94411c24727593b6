"""TensorBoard shows every epoch once, also after an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ctcore.nnunet.training.curves import Curves


def shown(folder: Path, name: str) -> list[tuple[int, float]]:
    """What TensorBoard would show of a curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(name)] if name in reader.Tags()["scalars"] else []


def test_a_resumed_run_continues_the_curves(tmp_path: Path) -> None:
    first = Curves(tmp_path, 0)
    for epoch in range(4):  # epochs 2 and 3 were written, but the checkpoint is of epoch 1
        first.add(epoch, {"dice/mean": epoch / 8, "dice/absent": math.nan})
    first.close()
    second = Curves(tmp_path, 2)
    for epoch in (2, 3, 4):
        second.add(epoch, {"dice/mean": epoch / 4})
    second.close()
    assert shown(tmp_path, "dice/mean") == [(0, 0.0), (1, 0.125), (2, 0.5), (3, 0.75), (4, pytest.approx(1.0))]
    assert shown(tmp_path, "dice/absent") == []

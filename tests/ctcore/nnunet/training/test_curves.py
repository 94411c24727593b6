"""TensorBoard shows every epoch once, also after an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ctcore.nnunet.training.curves import Curves
from tests.ctcore.nnunet.tiny_training import shown


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

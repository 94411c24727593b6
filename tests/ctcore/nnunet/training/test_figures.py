"""Figures of an epoch by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ctcore.nnunet.training.figures import COUNTS, curves_of, hard_counts, mean_dice, means, pseudo_dice


def output(loss: float, *counts: list[int]) -> dict[str, Any]:
    return {"loss": loss} | {name: np.array(count) for name, count in zip(COUNTS, counts, strict=True)}


STEPS = [output(1.0, [3, 0], [1, 0], [2, 0]), output(2.0, [1, 0], [0, 0], [0, 0])]


def test_counts_by_hand() -> None:
    target = torch.zeros(1, 1, 4, 4, 4)
    target[0, 0, :2] = 1  # 32 voxels
    logits = torch.zeros(1, 3, 4, 4, 4)
    logits[0, 0] = 0.5
    logits[0, 1, 1:4] = 1  # 48 voxels, of which 16 are right
    counts = hard_counts(logits, target)
    assert [counts[name].tolist() for name in COUNTS] == [[16, 0], [32, 0], [16, 0]]


def test_means() -> None:
    assert means(STEPS) == {"loss": 1.5}


def test_pseudo_dice_counts_voxels_not_patches() -> None:
    dice = pseudo_dice(STEPS)
    assert dice[0] == pytest.approx(8 / 11)
    assert math.isnan(dice[1])


def test_mean_dice_of_what_was_there() -> None:
    assert mean_dice([0.5, math.nan, 0.25], before=0.9) == 0.375
    assert mean_dice([math.nan, math.nan], before=0.9) == 0.9


def test_curves() -> None:
    log: dict[str, Any] = {"train_losses": 3, "val_losses": 2, "mean_fg_dice": 0.5, "ema_fg_dice": 0.25, "lrs": 0.01}
    log |= {"epoch_start_timestamps": 10, "epoch_end_timestamps": 14, "dice_per_class_or_region": [0.5, math.nan]}
    logger = SimpleNamespace(get_value=lambda key, step: [None, log[key]][step])
    curves = curves_of(logger, {2: "common bile duct", 1: "pancreas"})
    assert math.isnan(curves.pop("dice/common_bile_duct"))
    assert curves == {
        "loss/train": 3,
        "loss/validation": 2,
        "dice/mean": 0.5,
        "dice/mean_smoothed": 0.25,
        "dice/pancreas": 0.5,
        "learning_rate": 0.01,
        "seconds_an_epoch": 4,
    }

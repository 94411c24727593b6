"""The figures of an epoch: sums over its steps and over all processes, and their names as curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from nnunetv2.training.loss.dice import get_tp_fp_fn_tn

from ctcore.nnunet.training.distributed import gather

COUNTS = ("tp_hard", "fp_hard", "fn_hard")
"""nnU-Net's names of true positives, false positives and false negatives: voxels of every foreground label."""


def hard_counts(logits: torch.Tensor, target: torch.Tensor) -> dict[str, np.ndarray]:
    """Returns how many voxels of a batch are right and wrong, by foreground label.

    Args:
        logits: (b, k, [z,] y, x), background first.
        target: label maps (b, 1, [z,] y, x).
    """
    predicted = torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)
    counts = get_tp_fp_fn_tn(predicted, target, axes=[0, *range(2, logits.ndim)])[:3]
    return {name: count[1:].cpu().numpy() for name, count in zip(COUNTS, counts, strict=True)}


def means(outputs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the mean of every number that steps put out, over the steps of all processes."""
    names = [name for name in outputs[0] if name not in COUNTS]
    everywhere = gather({name: [float(output[name]) for output in outputs] for name in names})
    return {name: float(np.mean([values[name] for values in everywhere])) for name in names}


def pseudo_dice(outputs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Returns the Dice of every foreground label over the validation patches of all processes; NaN where it is absent.

    Absent means neither predicted nor true in any patch.
    """
    own = [np.sum([output[name] for output in outputs], axis=0, dtype=np.float64) for name in COUNTS]
    true_positives, false_positives, false_negatives = np.sum(gather(own), axis=0)
    total = 2 * true_positives + false_positives + false_negatives
    return [2 * float(hit) / float(all_) if all_ else math.nan for hit, all_ in zip(true_positives, total, strict=True)]


def mean_dice(dice: Sequence[float], before: float) -> float:
    """Returns the mean Dice of the labels that were there.

    Args:
        dice: Dice of every label, NaN where it is absent.
        before: what stands for the mean where no label was there: such patches say nothing, and NaN would stay in
            nnU-Net's moving average for ever.
    """
    present = [value for value in dice if not math.isnan(value)]
    return float(np.mean(present)) if present else before


def curves_of(logger: Any, labels: Mapping[int, str]) -> dict[str, float]:
    """Returns the last epoch's figures of nnU-Net's log by the names of their curves.

    Args:
        logger: nnU-Net's logger.
        labels: names of the foreground labels by value.
    """

    def last(key: str) -> Any:
        return logger.get_value(key, step=-1)

    figures = {
        "loss/train": last("train_losses"),
        "loss/validation": last("val_losses"),
        "dice/mean": last("mean_fg_dice"),
        "dice/mean_smoothed": last("ema_fg_dice"),
        "learning_rate": last("lrs"),
        "seconds_an_epoch": last("epoch_end_timestamps") - last("epoch_start_timestamps"),
    }
    names = [labels[value].replace(" ", "_") for value in sorted(labels)]
    dice = zip(names, last("dice_per_class_or_region"), strict=True)
    return {name: float(value) for name, value in figures.items()} | {f"dice/{name}": value for name, value in dice}

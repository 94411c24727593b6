"""The classification loss; segmentation losses are nnU-Net's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def classification_loss(logits: torch.Tensor, classes: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Returns cross-entropy in which every case counts with the weight of its class.

    The sum over the batch is divided by the number of cases, not by their weights, so that a batch of one class still
    counts with that class's weight.

    Args:
        logits: class logits (b, n).
        classes: true classes (b,), int64.
        weights: weight of each class.
    """
    weight = torch.tensor(weights, dtype=logits.dtype, device=logits.device)
    return functional.cross_entropy(logits, classes, weight=weight, reduction="sum") / len(classes)

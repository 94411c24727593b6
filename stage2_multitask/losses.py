"""The classification losses; segmentation losses are nnU-Net's.

Every case counts with the weight of its class and, where given, of its patch. The sum over the batch is divided by the
number of cases that have a class, not by their weights, so that a batch of one class still counts with that class's
weight and a batch of patches that show little counts little. A batch in which no case has a class gives a loss and a
gradient of zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

MISSING_CLASS = -1
"""Stands for the class of a case that has none; such a case adds nothing to a loss."""

DICE_SMOOTHING = 1.0
"""Cases added to both sides of the Dice, which makes it 1 for a class that is neither there nor predicted."""


def classification_loss(
    logits: torch.Tensor,
    classes: torch.Tensor,
    weights: Sequence[float],
    *,
    patch_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Returns cross-entropy in which every case counts with the weight of its class and patch.

    Args:
        logits: class logits (b, n).
        classes: true classes (b,), int64; `MISSING_CLASS` where a case has none.
        weights: weight of each class.
        patch_weights: weight (b,) of each patch; 1 if not given.
        label_smoothing: share of each target that is spread evenly over all classes; a case's whole loss, not the share
            of each class in it, has the weight of the true class.
    """
    factors, targets = _factors_and_targets(logits, classes, weights, patch_weights)
    losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    return (factors * losses).sum() / _labelled_cases(classes)


def dice_bce_loss(
    logits: torch.Tensor,
    classes: torch.Tensor,
    weights: Sequence[float],
    *,
    patch_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Returns soft Dice loss over the batch + binary cross-entropy, both of the sigmoid against the one-hot class.

    Source: the slice-ensemble report's "Dice + BCE on the one-hot class". Dice is the mean over classes of
    1 - (2 sum p y + 1) / (sum p + sum y + 1), the sums over the cases of the batch with their weights.

    Args:
        logits: class logits (b, n).
        classes: true classes (b,), int64; `MISSING_CLASS` where a case has none.
        weights: weight of each class.
        patch_weights: weight (b,) of each patch; 1 if not given.
    """
    factors, targets = _factors_and_targets(logits, classes, weights, patch_weights)
    one_hot = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    entropies = functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").mean(dim=1)
    entropy = (factors * entropies).sum() / _labelled_cases(classes)
    probabilities, weighted = logits.sigmoid(), factors[:, None]
    overlap = (weighted * probabilities * one_hot).sum(dim=0)
    sizes = (weighted * (probabilities + one_hot)).sum(dim=0)
    dice = (2 * overlap + DICE_SMOOTHING) / (sizes + DICE_SMOOTHING)
    return entropy + 1 - dice.mean()


def adjust_logits(logits: torch.Tensor, priors: Sequence[float], tau: float = 1.0) -> torch.Tensor:
    """Returns logits + tau log prior, for use inside the loss only; at inference the raw logits are used.

    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, the logit-adjusted loss. A network
    trained so learns what is left once the priors are known: its raw logits aim at balanced error. Subtracting the term
    in the loss and again at inference, as a published code does, cancels.

    Args:
        logits: class logits (b, n).
        priors: share of each class in the training cases, above 0.
        tau: strength.
    """
    return logits + tau * torch.tensor(priors, dtype=logits.dtype, device=logits.device).log()


def _factors_and_targets(
    logits: torch.Tensor, classes: torch.Tensor, weights: Sequence[float], patch_weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns each case's factor (b,), 0 where its class is missing, and a class (b,) to compute with."""
    missing = classes == MISSING_CLASS
    targets = classes.masked_fill(missing, 0)
    factors = torch.tensor(weights, dtype=logits.dtype, device=logits.device)[targets].masked_fill(missing, 0)
    if patch_weights is not None:
        factors = factors * patch_weights.to(factors)
    return factors, targets


def _labelled_cases(classes: torch.Tensor) -> torch.Tensor:
    """Returns how many cases of a batch have a class, at least 1: what a sum of zeros may be divided by."""
    return (classes != MISSING_CLASS).sum().clamp_min(1)

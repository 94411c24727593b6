"""The segmentation loss that a recipe names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

TERM_WEIGHTS = {"dice-ce": (1.0, 1.0), "dice": (1.0, 0.0), "ce": (0.0, 1.0)}
"""Weights of soft Dice and cross-entropy in nnU-Net's compound loss; a term of weight 0 is not computed."""


def weigh_terms(loss: nn.Module, kind: str) -> nn.Module:
    """Turns nnU-Net's Dice + cross-entropy into the loss of this kind.

    Smoothing, the labels that count, deep supervision and the gathering over processes stay as nnU-Net sets them.

    Args:
        loss: what nnU-Net's trainer builds: `DC_and_CE_loss`, in a `DeepSupervisionWrapper` or not; it is changed.
        kind: `dice-ce`, `dice` or `ce`.

    Returns:
        The same object.
    """
    compound: Any = getattr(loss, "loss", loss)
    compound.weight_dice, compound.weight_ce = TERM_WEIGHTS[kind]
    return loss

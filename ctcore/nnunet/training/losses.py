"""The segmentation loss that a recipe names."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn
from torch.nn import functional

TERM_WEIGHTS = {"dice-ce": (1.0, 1.0), "dice": (1.0, 0.0), "ce": (0.0, 1.0), "dice-bce": (1.0, 1.0)}
"""Weights of soft Dice and cross-entropy in nnU-Net's compound loss; a term of weight 0 is not computed."""


class OneHotBCE(nn.Module):
    """Binary cross-entropy of every label's sigmoid against the one-hot label map, background included.

    With the background among them the most probable label is the same by sigmoid and by softmax, which inference takes.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Returns the mean over labels and voxels.

        Args:
            logits: (b, k, [z,] y, x).
            target: label maps (b, [z,] y, x).
        """
        one_hot = functional.one_hot(target.long(), logits.shape[1]).movedim(-1, 1)
        return functional.binary_cross_entropy_with_logits(logits, one_hot.to(logits.dtype))


def change_loss(loss: nn.Module, kind: str) -> nn.Module:
    """Turns nnU-Net's Dice + cross-entropy into the loss of this kind.

    Smoothing, the labels that count, deep supervision and the gathering over processes stay as nnU-Net sets them.

    Args:
        loss: what nnU-Net's trainer builds: `DC_and_CE_loss`, in a `DeepSupervisionWrapper` or not; it is changed.
        kind: `dice-ce`, `dice`, `ce`, or `dice-bce` (both terms of the sigmoid).

    Returns:
        The same object.
    """
    compound: Any = getattr(loss, "loss", loss)
    compound.weight_dice, compound.weight_ce = TERM_WEIGHTS[kind]
    if kind == "dice-bce":
        compound.dc.apply_nonlin = torch.sigmoid
        compound.ce = OneHotBCE()
    return loss


def leave_out_coarsest(loss: nn.Module, network: Any) -> None:
    """Gives deep supervision's coarsest output the weight 0, which it has in one process, and freezes its layer.

    Of several processes nnU-Net gives it 1e-6 instead: torch averages gradients only when every weight has one.
    """
    if isinstance(loss, DeepSupervisionWrapper):
        total = sum(loss.weight_factors[:-1])
        loss.weight_factors = (*(float(weight / total) for weight in loss.weight_factors[:-1]), 0.0)
        network.decoder.seg_layers[0].requires_grad_(False)

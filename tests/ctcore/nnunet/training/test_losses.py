"""Segmentation losses by hand."""

from __future__ import annotations

import math

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

from ctcore.nnunet.training.losses import change_loss


def nnunets_loss() -> torch.nn.Module:
    dice = {"batch_dice": False, "smooth": 0.0, "do_bg": False, "ddp": False}
    loss: torch.nn.Module = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    return loss


LOGITS = torch.tensor([[[0.0, 0.0], [math.log(3.0), 0.0]]])[..., None, None]
"""One case, two classes, two voxels: foreground probability 3/4 and 1/2."""
LABELS = torch.tensor([[[1.0, 0.0]]])[..., None, None]
DICE = -2 * 0.75 / (1 + 1.25)
CROSS_ENTROPY = -(math.log(0.75) + math.log(0.5)) / 2


@pytest.mark.parametrize(
    ("kind", "expected"), [("dice-ce", DICE + CROSS_ENTROPY), ("dice", DICE), ("ce", CROSS_ENTROPY)]
)
def test_terms_by_hand(kind: str, expected: float) -> None:
    loss = change_loss(nnunets_loss(), kind)
    assert loss(LOGITS, LABELS).item() == pytest.approx(expected)


def test_sigmoid_terms_by_hand() -> None:
    # Sigmoid of the foreground: 3/4 and 1/2, of the background 1/2 twice; the truth is foreground, then background.
    dice = -2 * 0.75 / (1 + 1.25)
    entropy = -(math.log(0.75) + 3 * math.log(0.5)) / 4
    assert change_loss(nnunets_loss(), "dice-bce")(LOGITS, LABELS).item() == pytest.approx(dice + entropy, rel=1e-5)


@pytest.mark.parametrize("kind", ["dice-ce", "dice", "ce", "dice-bce"])
def test_deep_supervision_stays(kind: str) -> None:
    loss = change_loss(DeepSupervisionWrapper(nnunets_loss(), [0.75, 0.25]), kind)
    coarse = LOGITS.flip(2)
    single = change_loss(nnunets_loss(), kind)
    expected = 0.75 * single(LOGITS, LABELS) + 0.25 * single(coarse, LABELS)
    torch.testing.assert_close(loss([LOGITS, coarse], [LABELS, LABELS]), expected)


@pytest.mark.parametrize("kind", ["dice-ce", "dice", "ce", "dice-bce"])
def test_gradients_are_finite(kind: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    change_loss(nnunets_loss(), kind)(logits, LABELS).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0

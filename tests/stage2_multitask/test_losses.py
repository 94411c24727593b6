"""The classification loss, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from stage2_multitask.losses import classification_loss


def test_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    # Case 0 is of class 1 with probability 1/2, case 1 of class 0 with probability 3/4.
    expected = (3 * math.log(2) + 1 * math.log(4 / 3)) / 2
    assert classification_loss(logits, torch.tensor([1, 0]), (1.0, 3.0)).item() == pytest.approx(expected)


def test_a_batch_of_one_class_keeps_its_weight() -> None:
    logits = torch.zeros(2, 2)
    loss = classification_loss(logits, torch.tensor([1, 1]), (1.0, 3.0))
    assert loss.item() == pytest.approx(3 * math.log(2))


def test_gradient_by_hand() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    classification_loss(logits, torch.tensor([1]), (1.0, 3.0)).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[pytest.approx(1.5), pytest.approx(-1.5)]]

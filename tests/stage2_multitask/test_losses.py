"""The classification losses, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from stage2_multitask.losses import MISSING_CLASS, adjust_logits, classification_loss, dice_bce_loss

Loss = Callable[..., torch.Tensor]

LOSSES = pytest.mark.parametrize("loss", [classification_loss, dice_bce_loss])


def random_batch(seed: int, batch: int = 5, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, classes, generator=generator)
    return logits, torch.randint(classes, (batch,), generator=generator)


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


def test_label_smoothing_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])
    # Target 0.9 for class 0 (0.8 and half of 0.2), 0.1 for class 1; the whole has the weight of class 0.
    expected = 2 * (0.9 * math.log(4 / 3) + 0.1 * math.log(4))
    loss = classification_loss(logits, torch.tensor([0]), (2.0, 5.0), label_smoothing=0.2)
    assert loss.item() == pytest.approx(expected)


def test_patch_weights_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    weights = torch.tensor([0.25, 1.0])
    expected = (0.25 * 3 * math.log(2) + math.log(4 / 3)) / 2
    loss = classification_loss(logits, torch.tensor([1, 0]), (1.0, 3.0), patch_weights=weights)
    assert loss.item() == pytest.approx(expected)


def test_dice_bce_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])  # sigmoids 3/4 and 1/2, one-hot 1 and 0
    entropy = (math.log(4 / 3) + math.log(2)) / 2
    dice = ((2 * 3 / 4 + 1) / (3 / 4 + 1 + 1) + 1 / (1 / 2 + 1)) / 2
    assert dice_bce_loss(logits, torch.tensor([0]), (1.0, 1.0)).item() == pytest.approx(entropy + 1 - dice)


def test_weighted_dice_bce_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    weights = torch.tensor([1.0, 0.5])
    # Factors 2 (class 0) and 1.5 (half of class 1's 3); every sigmoid is 1/2.
    entropy = 3.5 * math.log(2) / 2
    zero = (2 * 2 * 0.5 + 1) / (3.5 * 0.5 + 2 + 1)
    one = (2 * 1.5 * 0.5 + 1) / (3.5 * 0.5 + 1.5 + 1)
    loss = dice_bce_loss(logits, torch.tensor([0, 1]), (2.0, 3.0), patch_weights=weights)
    assert loss.item() == pytest.approx(entropy + 1 - (zero + one) / 2)


@LOSSES
def test_a_missing_class_adds_nothing(loss: Loss) -> None:
    logits, classes = random_batch(0)
    classes[[1, 3]] = MISSING_CLASS
    known = classes != MISSING_CLASS
    logits.requires_grad_()
    value = loss(logits, classes, (1.0, 2.0, 3.0))
    assert value.item() == pytest.approx(loss(logits[known], classes[known], (1.0, 2.0, 3.0)).item())
    (gradient,) = torch.autograd.grad(value, logits)
    assert not gradient[~known].any()
    assert gradient[known].all()


@LOSSES
def test_a_batch_without_any_class(loss: Loss) -> None:
    logits = random_batch(0)[0].requires_grad_()
    value = loss(logits, torch.full((5,), MISSING_CLASS), (1.0, 2.0, 3.0), patch_weights=torch.rand(5))
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, logits)
    assert not gradient.any()


@LOSSES
def test_another_negative_class_is_a_fault(loss: Loss) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        loss(torch.zeros(1, 3), torch.tensor([-2]), (1.0, 1.0, 1.0))


@LOSSES
def test_far_logits_stay_finite(loss: Loss) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    value = loss(logits, torch.tensor([1, 1]), (1.0, 1.0, 1.0))
    assert torch.isfinite(value)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(gradient).all()


@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_equals_torch_where_torch_has_it(seed: int, smoothing: float) -> None:
    logits, classes = random_batch(seed)
    ours = classification_loss(logits, classes, (1.0, 1.0, 1.0), label_smoothing=smoothing)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, classes, label_smoothing=smoothing))


@given(st.integers(0, 10_000))
def test_dice_bce_falls_towards_the_true_class(seed: int) -> None:
    logits, classes = random_batch(seed)
    better = logits + functional.one_hot(classes, 3) - (1 - functional.one_hot(classes, 3))
    ones = (1.0, 1.0, 1.0)
    assert dice_bce_loss(better, classes, ones) < dice_bce_loss(logits, classes, ones)
    assert dice_bce_loss(40 * (2 * functional.one_hot(classes, 3) - 1.0), classes, ones).item() == pytest.approx(0)


def test_logit_adjustment_is_cross_entropy_of_shifted_logits() -> None:
    logits, classes = random_batch(1)
    priors, tau = (0.7, 0.2, 0.1), 1.5
    shift = torch.tensor([tau * math.log(prior) for prior in priors])
    adjusted = classification_loss(adjust_logits(logits, priors, tau), classes, (1.0, 1.0, 1.0))
    torch.testing.assert_close(adjusted, functional.cross_entropy(logits + shift, classes))


def test_what_adjusted_training_learns_is_free_of_the_priors() -> None:
    """The best constant logits are equal: log of the observed frequencies less the log of the priors."""
    classes = torch.tensor([0] * 6 + [1] * 3 + [2])
    logits = torch.zeros(3, requires_grad=True)
    loss = classification_loss(adjust_logits(logits.expand(10, 3), (0.6, 0.3, 0.1)), classes, (1.0, 1.0, 1.0))
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.zeros(3), rtol=0, atol=1e-6)


def test_equal_priors_adjust_nothing() -> None:
    logits, classes = random_batch(2)
    adjusted = classification_loss(adjust_logits(logits, (1 / 3,) * 3), classes, (1.0, 2.0, 3.0))
    torch.testing.assert_close(adjusted, classification_loss(logits, classes, (1.0, 2.0, 3.0)))

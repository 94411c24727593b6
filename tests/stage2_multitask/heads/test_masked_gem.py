"""Masked GeM pooling, by hand and in the limits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stage2_multitask.heads.masked_gem import LEAST_COVERAGE, MaskedGeMHead, masked_gem


def exponent(value: float) -> torch.Tensor:
    return torch.tensor([value])


@pytest.fixture
def features() -> torch.Tensor:
    return torch.rand(2, 3, 2, 3, 4, generator=torch.Generator().manual_seed(0)) + 0.1


def test_by_hand() -> None:
    values, mask = torch.tensor([[[[1.0, 2.0, 4.0]]]]), torch.tensor([[[[1.0, 0.5, 0.0]]]])
    expected = ((1 + 0.5 * 8) / 1.5) ** (1 / 3)
    assert masked_gem(values, mask, exponent(3)).item() == pytest.approx(expected, rel=1e-5)


def test_exponent_one_is_the_mean(features: torch.Tensor) -> None:
    everywhere = torch.ones(2, 1, 2, 3, 4)
    torch.testing.assert_close(masked_gem(features, everywhere, exponent(1)), features.mean(dim=(2, 3, 4)))


def test_a_large_exponent_tends_to_the_maximum(features: torch.Tensor) -> None:
    everywhere = torch.ones(2, 1, 2, 3, 4)
    answer = masked_gem(features, everywhere, exponent(2000))
    torch.testing.assert_close(answer, features.amax(dim=(2, 3, 4)), rtol=2e-3, atol=0)


def test_a_mask_of_one_voxel_gives_that_voxel(features: torch.Tensor) -> None:
    mask = torch.zeros(2, 1, 2, 3, 4)
    mask[:, :, 1, 2, 3] = 1
    torch.testing.assert_close(masked_gem(features, mask, exponent(3)), features[:, :, 1, 2, 3])


def test_a_mask_that_covers_too_little_gives_the_average_of_that_case(features: torch.Tensor) -> None:
    mask = torch.zeros(2, 1, 2, 3, 4)
    mask[0, 0, 0, 0, 0] = LEAST_COVERAGE * 24 * 1.01
    mask[1, 0, 0, 0, 0] = LEAST_COVERAGE * 24 * 0.99
    answer = masked_gem(features - 0.2, mask, exponent(3))
    torch.testing.assert_close(answer[0], (features[0, :, 0, 0, 0] - 0.2).clamp_min(1e-6))
    torch.testing.assert_close(answer[1], features[1].mean(dim=(1, 2, 3)) - 0.2)


@given(st.integers(0, 10_000), st.floats(1, 5.9), st.floats(0.01, 0.1))
def test_rises_with_the_exponent_from_mean_to_maximum(seed: int, power: float, step: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(1, 4, 3, 3, generator=generator) * 10 + 1e-3
    mask = torch.rand(1, 1, 3, 3, generator=generator)
    mean = (values * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3))
    lower, higher = (masked_gem(values, mask, exponent(power + s)) for s in (0, step))
    assert (mean <= lower * (1 + 1e-5)).all()
    assert (lower <= higher * (1 + 1e-5)).all()
    assert (higher <= values.amax(dim=(2, 3)) * (1 + 1e-5)).all()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-5, 1.0, 6e4, 1e30])
@pytest.mark.parametrize("power", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("coverage", [0.0, 1e-40, 1.0])
def test_finite_whatever_the_scale(scale: float, power: float, coverage: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(2, 3, 4, 4, generator=generator) * scale).requires_grad_()
    p = exponent(power).requires_grad_()
    mask = torch.full((2, 1, 4, 4), coverage)
    mask[0, 0, 0, 0] = 1
    answer = masked_gem(values, mask, p)
    (answer / max(scale, 1)).sum().backward()
    assert torch.isfinite(answer).all()
    for gradient in (values.grad, p.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()


def test_the_exponent_starts_at_three_stays_in_its_range_and_never_sticks() -> None:
    head = MaskedGeMHead(2, 2, foreground=(1,), scale=(1, 1))
    assert head.exponent.item() == pytest.approx(3)
    for raw, bound in ((-8.0, 1.0), (8.0, 6.0)):
        with torch.no_grad():
            head.raw_exponent.fill_(raw)
        assert head.exponent.item() == pytest.approx(bound, abs=2e-3)
        (gradient,) = torch.autograd.grad(head.exponent, head.raw_exponent)
        assert gradient.item() > 0


def test_dropout_in_training_only() -> None:
    torch.manual_seed(0)
    head = MaskedGeMHead(8, 2, foreground=(1,), scale=(1, 1))
    features, logits = [torch.rand(1, 8, 4, 4)], torch.randn(1, 2, 4, 4)
    assert not torch.equal(head(features, logits), head(features, logits))
    head.eval()
    assert torch.equal(head(features, logits), head(features, logits))


@pytest.mark.parametrize(("slope", "moves"), [(0.0, False), (0.1, True)])
def test_silent_units_come_back_only_where_they_leak(features: torch.Tensor, slope: float, moves: bool) -> None:
    """As Adam left them on three subtypes: below 0 for every case."""
    head = MaskedGeMHead(3, 2, foreground=(1,), scale=(1, 1, 1), widths=(4, 4), negative_slope=slope).eval()
    hidden = head.classify[1]
    assert isinstance(hidden, torch.nn.Linear)
    with torch.no_grad():
        hidden.bias.fill_(-100.0)
    head([features], torch.zeros(2, 2, 2, 3, 4)).square().sum().backward()
    assert hidden.weight.grad is not None
    assert bool(hidden.weight.grad.abs().max() > 0) is moves

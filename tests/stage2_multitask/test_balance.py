"""The balance of the two losses: weights by hand, learned weights at their analytic best."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stage2_multitask.balance import (
    LEAST_SEGMENTATION_LOSS,
    MOST_LOG_VARIANCE,
    LossBalance,
    LossWeights,
    UncertaintyWeighting,
    weights_at,
)
from stage2_multitask.balance_settings import BalanceSettings, FixedBalance, RampBalance, UncertaintyBalance

ADAPTER: TypeAdapter[BalanceSettings] = TypeAdapter(BalanceSettings)

RAMP = RampBalance(start=0.10, end=0.55, share=25 / 200)

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_fixed(progress: float) -> None:
    assert weights_at(FixedBalance(segmentation=1, classification=3), progress) == LossWeights(1, 3)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.10), (5, 0.19), (12.5, 0.325), (25, 0.55), (26, 0.55), (200, 0.55)]
)
def test_ramp_by_hand(epoch: float, expected: float) -> None:
    assert weights_at(RAMP, epoch / 200) == pytest.approx((1.0, expected))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 10), st.floats(0, 10), st.floats(0.01, 1))
def test_ramp_stays_between_its_ends_and_never_turns(
    one: float, two: float, start: float, end: float, share: float
) -> None:
    ramp = RampBalance(start=start, end=end, share=share)
    earlier, later = (weights_at(ramp, progress).classification for progress in sorted((one, two)))
    low, high = sorted((start, end))
    assert low - 1e-9 <= earlier <= high + 1e-9
    assert (later - earlier) * (end - start) >= -1e-9


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_progress_out_of_range(progress: float) -> None:
    with pytest.raises(ValueError, match="is not between 0 and 1; give epoch / epochs"):
        weights_at(RAMP, progress)


def test_learned_weights_are_no_function_of_the_progress() -> None:
    with pytest.raises(TypeError, match="'uncertainty' are learned"):
        weights_at(UncertaintyBalance(), 0.5)


def test_uncertainty_by_hand() -> None:
    weighting = UncertaintyWeighting(-1.0)
    with torch.no_grad():
        weighting.raw_log_variances.copy_(torch.tensor([0.5, -2.0]))
    first, second = (MOST_LOG_VARIANCE * math.tanh(r / MOST_LOG_VARIANCE) for r in (0.5, -2.0))
    expected = math.exp(-first) * (-0.25 + 1) + first / 2 + math.exp(-second) * 2 + second / 2
    assert weighting(torch.tensor(-0.25), TWO).item() == pytest.approx(expected, rel=1e-6)
    assert weighting.weights == pytest.approx((math.exp(-first), math.exp(-second)))


def learned(segmentation: float, classification: float) -> UncertaintyWeighting:
    weighting = UncertaintyWeighting(LEAST_SEGMENTATION_LOSS["dice-ce"])
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        weighting(torch.tensor(segmentation), torch.tensor(classification)).backward()
        optimizer.step()
    return weighting


def test_the_best_log_variances_are_the_analytic_ones() -> None:
    weighting = learned(-0.6, 1.3)
    expected = torch.tensor([math.log(2 * (-0.6 + 1)), math.log(2 * 1.3)])
    torch.testing.assert_close(weighting.log_variances.detach(), expected, rtol=0, atol=1e-3)


def test_a_loss_at_its_least_does_not_run_away() -> None:
    weighting = learned(-1.0, 0.0)
    assert (weighting.log_variances >= -MOST_LOG_VARIANCE).all()
    assert all(math.isfinite(weight) for weight in weighting.weights)


@given(st.floats(-1, 1e4), st.floats(0, 1e4), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_uncertainty_is_finite(segmentation: float, classification: float, one: float, two: float) -> None:
    weighting = UncertaintyWeighting(-1.0)
    with torch.no_grad():
        weighting.raw_log_variances.copy_(torch.tensor([one, two]))
    loss = weighting(torch.tensor(segmentation), torch.tensor(classification))
    loss.backward()
    assert torch.isfinite(loss)
    assert weighting.raw_log_variances.grad is not None
    assert torch.isfinite(weighting.raw_log_variances.grad).all()


def test_a_batch_without_classes_teaches_their_variance_nothing() -> None:
    balance = LossBalance(UncertaintyBalance())
    balance(ONE, torch.tensor(0.0), 0.5, has_classes=False).backward()
    (parameter,) = balance.parameters()
    assert parameter.grad is not None
    assert parameter.grad[0] != 0
    assert parameter.grad[1] == 0


def test_balanced_losses_by_hand() -> None:
    assert LossBalance(FixedBalance(segmentation=1, classification=3))(ONE, TWO, 0.2).item() == 7
    assert LossBalance(RAMP)(ONE, TWO, 0.0).item() == pytest.approx(1.2)
    assert LossBalance(UncertaintyBalance(), 0.0)(ONE, TWO, 0.0).item() == pytest.approx(3)  # both weights 1 at first
    assert LossBalance(UncertaintyBalance()).weights(0.3) == LossWeights(1, 1)


@pytest.mark.parametrize("settings", [FixedBalance(classification=3), RAMP, UncertaintyBalance()])
def test_a_loss_that_is_alone_counts_as_it_is(settings: BalanceSettings) -> None:
    balance = LossBalance(settings)
    assert balance(ONE, None, 0.0) is ONE
    assert balance(None, TWO, 0.0) is TWO
    with pytest.raises(ValueError, match="no loss is given"):
        balance(None, None, 0.0)


def test_only_learned_weights_are_parameters() -> None:
    assert not list(LossBalance(RAMP).parameters())
    assert not LossBalance(RAMP).state_dict()
    assert list(LossBalance(UncertaintyBalance()).state_dict()) == ["uncertainty.raw_log_variances"]


def test_the_least_losses_are_those_of_nnunet() -> None:
    """A perfect segmentation's Dice loss is -1 in nnU-Net."""
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    perfect = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
    dice: Any = MemoryEfficientSoftDiceLoss(do_bg=False, smooth=0.0, ddp=False)
    assert dice(perfect, torch.tensor([[[[1, 0]]]])).item() == pytest.approx(LEAST_SEGMENTATION_LOSS["dice"])


@pytest.mark.parametrize("settings", [FixedBalance(classification=3), RAMP, UncertaintyBalance()])
def test_settings_through_json(settings: BalanceSettings) -> None:
    assert ADAPTER.validate_json(settings.model_dump_json()) == settings


def test_a_table_without_a_kind_is_fixed() -> None:
    assert ADAPTER.validate_python({"classification": 2.0}) == FixedBalance(segmentation=1, classification=2)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "kendall"}, "'fixed', 'ramp', 'uncertainty'"),
        ({"kind": "uncertainty", "segmentation": 1}, "segmentation"),
        ({"kind": "ramp", "start": 0.1, "end": 0.5}, "share"),
        ({"kind": "ramp", "start": 0.1, "end": 0.5, "share": 0}, "share"),
        ({"segmentation": -1}, "segmentation"),
        ({"segmentation": 0, "classification": 0}, "nothing would train"),
        ({"classification": math.inf}, "classification"),
    ],
)
def test_settings_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ADAPTER.validate_python(values)

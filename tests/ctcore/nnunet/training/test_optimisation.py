"""Optimisers and schedules of recipes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.optimisation import EpochSchedule, learning_rate, make_optimizer

MakeRecipe = Callable[..., TrainingRecipe]


def test_cosine_rate_by_hand(recipe: MakeRecipe) -> None:
    settings = recipe(schedule="cosine", learning_rate=0.2, epochs=4)
    expected = [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.1 * (1 - math.sqrt(0.5))]
    assert [learning_rate(settings, epoch) for epoch in range(4)] == pytest.approx(expected)


def test_step_rate_by_hand(recipe: MakeRecipe) -> None:
    settings = recipe(schedule="step", learning_rate=0.5, step_share=1 / 3, epochs=6)
    rates = [learning_rate(settings, epoch) for epoch in range(6)]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_the_schedule_sets_every_group(recipe: MakeRecipe) -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    EpochSchedule(optimizer, recipe(schedule="step", learning_rate=0.5, epochs=4, step_share=0.25)).step(1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(recipe: MakeRecipe, name: str, kind: type[torch.optim.Optimizer]) -> None:
    settings = recipe(optimizer=name, learning_rate=0.125, weight_decay=0.5)
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.125, 0.5)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.99, True)


def test_muon_takes_steps_of_one_length_in_every_direction(recipe: MakeRecipe) -> None:
    weight, bias = torch.nn.Parameter(torch.zeros(16, 4, 3, 3, 3)), torch.nn.Parameter(torch.zeros(5))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    bias.grad = torch.tensor([1.0, -2.0, 3.0, -4.0, 50.0])
    settings = recipe(optimizer="muon", schedule="cosine", learning_rate=0.5, weight_decay=0.0, epochs=2)
    optimizer = make_optimizer([weight, bias], settings)
    EpochSchedule(optimizer, settings).step(1)
    optimizer.step()
    lengths = torch.linalg.svdvals(weight.detach().flatten(1))
    assert lengths / 0.25 == pytest.approx(0.2 * math.sqrt(108), rel=0.3)  # 0.25 for each element, if it were AdamW
    expected = 0.25 * 1.9  # Nesterov: 0.9 times the bias-corrected mean and the gradient itself
    assert bias.detach() == pytest.approx([-expected, expected, -expected, expected, -expected], rel=1e-3)


def test_the_poly_schedule_is_nnunets(recipe: MakeRecipe) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = PolyLRScheduler(optimizer, 0.5, 7)
    for epoch in range(7):
        theirs.step(epoch)
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(recipe(schedule="poly", learning_rate=0.5, epochs=7), epoch) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "step"])
def test_a_rate_does_not_depend_on_the_epochs_before(recipe: MakeRecipe, schedule: str) -> None:
    settings = recipe(schedule=schedule, learning_rate=0.5, epochs=4, step_share=0.5)

    def rate_at_three(before: tuple[int, ...]) -> float:
        optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], settings)
        made = EpochSchedule(optimizer, settings)
        for epoch in (*before, 3):
            made.step(epoch)
        return float(optimizer.param_groups[0]["lr"])

    expected = {"poly": 0.5 * 0.25**0.9, "cosine": 0.25 * (1 - math.sqrt(0.5)), "step": 0.05}
    assert rate_at_three(()) == rate_at_three((0, 1, 2)) == pytest.approx(expected[schedule])

"""The recipe's optimiser and learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

from ctcore.nnunet.recipe import TrainingRecipe


def make_optimizer(parameters: Iterable[torch.nn.Parameter], recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Returns the recipe's optimiser; on a CPU the fused one, for small networks' sake."""
    parameters = list(parameters)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, momentum=0.99, nesterov=True
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    fused = True if all(parameter.device.type == "cpu" for parameter in parameters) else None
    return kind(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: TrainingRecipe) -> Any:
    """Returns the recipe's schedule; its `step(epoch)` sets the rate, which no earlier step influences."""
    if recipe.schedule == "poly":
        return PolyLRScheduler(optimizer, recipe.learning_rate, recipe.epochs)
    return EpochSchedule(optimizer, recipe)


class EpochSchedule:
    """Learning rate as a pure function of the epoch, with the `step(epoch)` that nnU-Net calls."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: TrainingRecipe) -> None:
        self.optimizer = optimizer
        self.recipe = recipe

    def step(self, epoch: int) -> None:
        """Sets the rate of `epoch` in every parameter group."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, epoch)


def learning_rate(recipe: TrainingRecipe, epoch: int) -> float:
    """Returns the `cosine` or `step` schedule's rate at an epoch (counted from 0)."""
    if recipe.schedule == "step":
        return float(recipe.learning_rate * 0.1 ** math.floor(epoch / (recipe.step_share * recipe.epochs)))
    return float(recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs)))

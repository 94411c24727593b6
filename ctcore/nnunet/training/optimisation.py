"""The recipe's optimiser and learning rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import torch

from ctcore.nnunet.recipe import TrainingRecipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # about timm's own use of torch
    from timm.optim.muon import Muon

OTHERS_RATE = "adamw_lr"
"""Where Muon keeps the rate of what it leaves to AdamW: the same, for its own steps change weights as much."""


def make_optimizer(parameters: Iterable[torch.nn.Parameter], recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Returns the recipe's optimiser; on a CPU the fused one, for small networks' sake."""
    parameters = list(parameters)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, momentum=0.99, nesterov=True
        )
    if recipe.optimizer == "muon":
        return Muon(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, nesterov=True)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    fused = True if all(parameter.device.type == "cpu" for parameter in parameters) else None
    return kind(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)


class EpochSchedule:
    """The recipe's schedule: the rate as a pure function of the epoch, with the `step(epoch)` that nnU-Net calls."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: TrainingRecipe) -> None:
        self.optimizer = optimizer
        self.recipe = recipe

    def step(self, epoch: int) -> None:
        """Sets the rate of `epoch` in every parameter group."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, epoch)
            if OTHERS_RATE in group:
                group[OTHERS_RATE] = group["lr"]


def learning_rate(recipe: TrainingRecipe, epoch: int) -> float:
    """Returns the schedule's rate at an epoch (counted from 0); `poly` is nnU-Net's."""
    if recipe.schedule == "poly":
        return float(recipe.learning_rate * (1 - epoch / recipe.epochs) ** 0.9)
    if recipe.schedule == "step":
        return float(recipe.learning_rate * 0.1 ** math.floor(epoch / (recipe.step_share * recipe.epochs)))
    return float(recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs)))

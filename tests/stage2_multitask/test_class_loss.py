"""The class loss of a recipe, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ctcore.errors import DatasetError
from stage2_multitask.class_loss import ClassLoss, count_classes
from stage2_multitask.loss_settings import ClassLossSettings
from stage2_multitask.losses import MISSING_CLASS

NAMES = ("a", "b")
LOGITS = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
CLASSES = torch.tensor([0, 1])
HALF, THREE_QUARTERS = math.log(2), math.log(4 / 3)
"""Losses of the two cases, whose true classes have the probabilities 1/2 and 3/4."""


def loss_of(counts: tuple[int, ...] = (3, 1), **settings: Any) -> ClassLoss:
    return ClassLoss(ClassLossSettings(**settings), NAMES, counts)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (HALF + THREE_QUARTERS) / 2),
        ({"weights": (2.0, 4.0)}, (2 * HALF + 4 * THREE_QUARTERS) / 2),
        # 4 cases in 2 classes: 4 / (2 x 3) and 4 / (2 x 1)
        ({"weights": "inverse-frequency"}, (2 / 3 * HALF + 2 * THREE_QUARTERS) / 2),
        # log priors of 3/4 and 1/4 added: odds of 3 : 1 and of 1 : 1
        ({"logit_adjustment": 1.0}, (math.log(4 / 3) + HALF) / 2),
    ],
)
def test_by_hand(settings: dict[str, Any], expected: float) -> None:
    assert loss_of(**settings)(LOGITS, CLASSES).item() == pytest.approx(expected, abs=1e-6)


def test_patches_that_count_less() -> None:
    loss = loss_of()(LOGITS, CLASSES, torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(HALF / 2, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"weights": "inverse-frequency"}, {"logit_adjustment": 0.5}])
def test_every_class_needs_a_training_case(settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="class 'b' has 0 training cases; add cases of it, make other folds"):
        loss_of((4, 0), **settings)


def test_priors_are_kept_where_the_loss_adds_them() -> None:
    assert loss_of().priors is None
    assert loss_of(logit_adjustment=0.5).priors == (0.75, 0.25)


def test_counts_pass_over_missing_classes() -> None:
    assert count_classes([1, MISSING_CLASS, 0, 1], 3) == (1, 2, 0)

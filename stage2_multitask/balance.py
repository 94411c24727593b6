"""How segmentation and class loss become one loss.

The three phases (`schedule.py`) are apart: they say which of the two is computed at all. Where only one is, it counts
alone with weight 1; where both are, they are balanced as here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from stage2_multitask.balance_settings import BalanceSettings, FixedBalance, RampBalance, UncertaintyBalance

LEAST_SEGMENTATION_LOSS = {"dice-ce": -1.0, "dice": -1.0, "ce": 0.0, "dice-bce": -1.0}
"""Lower bounds of nnU-Net's segmentation losses: its Dice loss is minus the Dice, its cross-entropy 0 or more."""

MOST_LOG_VARIANCE = 5.0
"""Learned log-variances stay within plus and minus this: weights within 1/148 and 148."""


class LossWeights(NamedTuple):
    """Factors of the two losses.

    Attributes:
        segmentation: of the segmentation loss.
        classification: of the class loss.
    """

    segmentation: float
    classification: float


def weights_at(settings: BalanceSettings, progress: float) -> LossWeights:
    """Returns the weights at a point of the training, a pure function of it.

    Args:
        settings: the balance.
        progress: epochs done / epochs, 0 to 1.

    Raises:
        ValueError: the progress is out of its range.
        TypeError: the weights are learned (`UncertaintyWeighting`), no function of the progress.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress {progress} is not between 0 and 1; give epoch / epochs")
    match settings:
        case FixedBalance():
            return LossWeights(settings.segmentation, settings.classification)
        case RampBalance():
            reached = min(progress / settings.share, 1.0)
            return LossWeights(settings.segmentation, (1 - reached) * settings.start + reached * settings.end)
        case _:
            raise TypeError(f"the weights of balance '{settings.kind}' are learned; ask the module that holds them")


class UncertaintyWeighting(nn.Module):
    """Weights each loss by its learned uncertainty: sum over both of exp(-s) (L - L_min) + s / 2, s = log variance.

    Source: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", CVPR 2018, with the form of its cross-entropy (L / variance + log standard deviation) for both. For a
    constant loss the best s is log(2 (L - L_min)).

    L_min: nnU-Net's Dice loss goes down to -1, and for a negative loss the sum would fall without end with s. For the
    same reason, a loss near 0, s is bounded, smoothly: s = m tanh(r / m), r learned, m = `MOST_LOG_VARIANCE`. Both
    weights are 1 at first. The parameters need an optimiser that does not decay them and belong into checkpoints.

    Args:
        least_segmentation_loss: lower bound of the segmentation loss (`LEAST_SEGMENTATION_LOSS`).
    """

    def __init__(self, least_segmentation_loss: float) -> None:
        super().__init__()
        self.least_segmentation_loss = least_segmentation_loss
        self.raw_log_variances = nn.Parameter(torch.zeros(2))

    @property
    def log_variances(self) -> torch.Tensor:
        """Log-variances (2,) of the segmentation and of the class loss."""
        return MOST_LOG_VARIANCE * torch.tanh(self.raw_log_variances / MOST_LOG_VARIANCE)

    @property
    def weights(self) -> LossWeights:
        """The factors of the two losses as they are now."""
        segmentation, classification = (-self.log_variances.detach()).exp().tolist()
        return LossWeights(segmentation, classification)

    def forward(
        self, segmentation: torch.Tensor, classification: torch.Tensor, *, has_classes: bool = True
    ) -> torch.Tensor:
        """Returns the weighted loss.

        Args:
            segmentation: segmentation loss.
            classification: class loss.
            has_classes: whether any case of the batch has a class; without one the class loss is 0 because nothing is
                known, not because the network is sure, and its variance learns nothing.
        """
        first, second = self.log_variances
        of_segmentation = (-first).exp() * (segmentation - self.least_segmentation_loss) + first / 2
        of_classification = (-second).exp() * classification + second / 2
        loss: torch.Tensor = of_segmentation + of_classification * float(has_classes)
        return loss


class LossBalance(nn.Module):
    """The one loss of a recipe's balance; it has parameters only where weights are learned.

    Args:
        settings: the balance.
        least_segmentation_loss: lower bound of the segmentation loss (`LEAST_SEGMENTATION_LOSS`), for learned weights.
    """

    def __init__(self, settings: BalanceSettings, least_segmentation_loss: float = -1.0) -> None:
        super().__init__()
        self.settings = settings
        learned = isinstance(settings, UncertaintyBalance)
        self.uncertainty = UncertaintyWeighting(least_segmentation_loss) if learned else None

    def weights(self, progress: float) -> LossWeights:
        """Returns the weights at a point of the training (epoch / epochs); learned ones as they are now."""
        if self.uncertainty is not None:
            return self.uncertainty.weights
        return weights_at(self.settings, progress)

    def forward(
        self,
        segmentation: torch.Tensor | None,
        classification: torch.Tensor | None,
        progress: float,
        *,
        has_classes: bool = True,
    ) -> torch.Tensor:
        """Returns the loss to go back from.

        Args:
            segmentation: segmentation loss; None in a phase that does not compute it.
            classification: class loss; None in a phase that does not compute it.
            progress: epoch / epochs, 0 to 1.
            has_classes: whether any case of the batch has a class.

        Raises:
            ValueError: neither loss is given, or the progress is out of its range.
        """
        if segmentation is None or classification is None:
            alone = segmentation if classification is None else classification
            if alone is None:
                raise ValueError("no loss is given; a phase computes the segmentation loss, the class loss or both")
            return alone
        if self.uncertainty is not None:
            loss: torch.Tensor = self.uncertainty(segmentation, classification, has_classes=has_classes)
            return loss
        weights = self.weights(progress)
        return weights.segmentation * segmentation + weights.classification * classification

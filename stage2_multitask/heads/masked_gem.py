"""Generalised-mean (GeM) pooling of the bottleneck inside the predicted foreground, and three linear layers.

Source: the masked-GeM report (its discussion and code; its section 2.3 describes average pooling and one layer
instead), with the pooling of Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019:
(sum_i w_i x_i^p / sum_i w_i)^(1/p), p learnable, 1 (the mean) to 6 (towards the maximum), 3 at first.

Faults fixed: the encoder runs once, for both tasks; the stop-gradient, which left the head with features made for
another task and made it answer one class, is an option and off; between the linear layers, for which no activation is
reported and which without would be one, stand ReLUs, leaky ones if asked for; p is held in its range by a sigmoid, for
a clipped p that has left it gets no gradient; the powers are sums of exponentials in float32, which neither overflow
nor vanish for any p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from stage2_multitask.heads.head import SPATIAL, ClassificationHead
from stage2_multitask.heads.regions import soft_region, to_scale

EXPONENT_START, EXPONENT_LEAST, EXPONENT_MOST = 3.0, 1.0, 6.0

LEAST_COVERAGE = 5e-4
"""Share of the bottleneck that the mask must cover; below it the plain average is taken (the report's value)."""

LEAST_FEATURE = 1e-6
"""Smaller features, negative ones too, count as this in a power, the usual constant of GeM."""


class MaskedGeMHead(ClassificationHead):
    """Masked GeM pooling, then dropout and linear layers in turn.

    Args:
        channels: channels of the bottleneck.
        classes: number of classes.
        foreground: label values whose summed probability is the mask.
        scale: stride ([z,] y, x) of the bottleneck against the segmentation.
        widths: of the hidden layers.
        dropouts: share that training drops before each linear layer: one more than `widths`.
        stop_gradient: whether the class loss leaves the encoder alone, in training.
        negative_slope: of the hidden units' activation below 0; with 0 a unit that is silent for all cases stays so.
    """

    uses_segmentation = True

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        foreground: Sequence[int],
        scale: Sequence[int],
        widths: Sequence[int] = (256, 128),
        dropouts: Sequence[float] = (0.5, 0.3, 0.15),
        stop_gradient: bool = False,
        negative_slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.foreground = tuple(foreground)
        self.scale = tuple(scale)
        self.stop_gradient = stop_gradient
        start = (EXPONENT_START - EXPONENT_LEAST) / (EXPONENT_MOST - EXPONENT_LEAST)
        self.raw_exponent = nn.Parameter(torch.tensor([math.log(start / (1 - start))]))
        sizes = [channels, *widths, classes]
        layers: list[nn.Module] = []
        for size, following, dropout in zip(sizes[:-1], sizes[1:], dropouts, strict=True):
            layers += [nn.Dropout(dropout), nn.Linear(size, following), nn.LeakyReLU(negative_slope)]
        self.classify = nn.Sequential(*layers[:-1])

    @property
    def exponent(self) -> torch.Tensor:
        """The exponent p (1,), between 1 and 6."""
        return EXPONENT_LEAST + (EXPONENT_MOST - EXPONENT_LEAST) * self.raw_exponent.float().sigmoid()

    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies; see `ClassificationHead`. Of the features the bottleneck is used."""
        bottleneck = features[-1].detach() if self.stop_gradient and self.training else features[-1]
        mask = to_scale(soft_region(self.needed(segmentation_logits), self.foreground), self.scale)
        pooled = masked_gem(bottleneck.float(), mask, self.exponent)
        logits: torch.Tensor = self.classify(pooled.to(bottleneck.dtype))
        return logits


def masked_gem(features: torch.Tensor, mask: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Returns each channel's generalised mean inside a soft mask; its plain average where the mask covers too little.

    Args:
        features: (b, c, [z,] y, x), float32.
        mask: weights (b, 1, [z,] y, x), 0 to 1.
        exponent: p (1,).

    Returns:
        (b, c).
    """
    values, weights = features.flatten(SPATIAL), mask.flatten(SPATIAL)
    covered = weights.mean(dim=2, keepdim=True) >= LEAST_COVERAGE
    weights = torch.where(covered, weights, torch.ones_like(weights))  # a mask of zeros would give NaN gradients
    # log(sum w x^p / sum w) / p, the greatest term taken out of the sum
    terms = exponent * values.clamp_min(LEAST_FEATURE).log() + weights.log()
    greatest = terms.amax(dim=2, keepdim=True).detach()
    total = (terms - greatest).exp().sum(dim=2) / weights.sum(dim=2)
    generalised = ((total.log() + greatest.squeeze(2)) / exponent).exp()
    return torch.where(covered.squeeze(2), generalised, values.mean(dim=2))

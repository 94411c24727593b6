"""Global average pooling of the bottleneck and one linear layer.

Source: the GAP baseline's report (PlainConvUNet; global average pooling, fully connected, softmax: 963 parameters for
three classes, hence a bottleneck of 320 channels). The softmax belongs to the loss and to inference.

Its fault: the average runs over a patch that may hold little pancreas and no lesion. `foreground-weighted` pooling is
the remedy, with the same 963 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from stage2_multitask.heads.head import SPATIAL, ClassificationHead
from stage2_multitask.heads.regions import soft_region, to_scale, weighted_mean


class GAPHead(ClassificationHead):
    """Pools the bottleneck over space and classifies linearly.

    Args:
        channels: channels of the bottleneck.
        classes: number of classes.
        foreground: label values whose probability weighs the mean; none for the plain average.
        scale: stride ([z,] y, x) of the bottleneck against the segmentation; only the weighted mean needs it.
    """

    def __init__(
        self, channels: int, classes: int, *, foreground: Sequence[int] = (), scale: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.foreground = tuple(foreground)
        self.scale = tuple(scale)
        self.uses_segmentation = bool(self.foreground)
        self.classify = nn.Linear(channels, classes)

    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies; see `ClassificationHead`. Of the features the bottleneck is used."""
        bottleneck = features[-1]
        if self.foreground:
            region = soft_region(self.needed(segmentation_logits), self.foreground)
            pooled = weighted_mean(bottleneck, to_scale(region, self.scale))
        else:
            pooled = bottleneck.mean(dim=tuple(range(SPATIAL, bottleneck.dim())))
        logits: torch.Tensor = self.classify(pooled)
        return logits

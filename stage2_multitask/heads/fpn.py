"""A feature-pyramid classification head over the last three encoder levels.

Source: the two-stage PANORAMA report's head ("FPN over the last three encoder levels, aggregated features, fully
connected"), with the pyramid of Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017. As there, the
pyramid has no normalisation: after instance normalisation the average of every channel would say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Pooling = Literal["average", "average-max"]

LEVELS = 3


class FPNHead(nn.Module):
    """1x1 lateral projections, top-down additions, smoothing, pooling per level, concatenation, fully connected.

    Args:
        channels: channels of the last three encoder levels, fine to coarse.
        classes: number of classes.
        width: channels of the pyramid.
        pooling: global average of each level, or average and maximum (a small lesion hardly moves an average).
        dropout: share of the pooled features that training drops.

    Raises:
        ValueError: `channels` does not name three levels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        *,
        width: int = 64,
        pooling: Pooling = "average",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(channels) != LEVELS:
            raise ValueError(f"channels {tuple(channels)} do not name the last {LEVELS} encoder levels")
        self.pooling = pooling
        self.lateral = nn.ModuleList(nn.Conv3d(c, width, kernel_size=1) for c in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, width, kernel_size=3, padding=1),
                nn.LeakyReLU(inplace=True),
            )
            for _ in channels
        )
        pooled = width * LEVELS * (2 if pooling == "average-max" else 1)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(pooled, classes)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Classifies.

        Args:
            features: all encoder levels, fine to coarse, each (b, c, z, y, x); the last three are used.

        Returns:
            Class logits (b, classes).
        """
        levels = [lateral(f) for lateral, f in zip(self.lateral, features[-LEVELS:], strict=True)]
        for fine in range(LEVELS - 2, -1, -1):
            size = levels[fine].shape[2:]
            levels[fine] = levels[fine] + functional.interpolate(levels[fine + 1], size=size, mode="nearest")
        pooled = []
        for level, smooth in zip(levels, self.smooth, strict=True):
            smoothed = smooth(level)
            pooled.append(smoothed.mean(dim=(2, 3, 4)))
            if self.pooling == "average-max":
                pooled.append(smoothed.amax(dim=(2, 3, 4)))
        logits: torch.Tensor = self.classify(self.dropout(torch.cat(pooled, dim=1)))
        return logits

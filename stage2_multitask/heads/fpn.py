"""A feature-pyramid classification head over the last three encoder levels.

Source: the two-stage PANORAMA report's head ("FPN over the last three encoder levels, aggregated features, fully
connected"), with the pyramid of Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017. As there, the
pyramid has no normalisation: after instance normalisation the average of every channel would say nothing.

Ours: the maximum beside the average, and means weighted by the predicted lesion or pancreas, because a small lesion
hardly moves an average over the whole patch; and how sure and how large these regions are, which no mean says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from stage2_multitask.heads.head import CONVOLUTIONS, SPATIAL, ClassificationHead
from stage2_multitask.heads.regions import evidence_of, maxima, soft_regions, to_scale, weighted_means

Pooling = Literal["average", "average-max"]
Smoothing = Literal["all", "coarse"]

LEVELS = 3


class FPNHead(ClassificationHead):
    """1x1 lateral projections, top-down additions, smoothing, pooling per level, concatenation, fully connected.

    Args:
        channels: channels of the last three encoder levels, fine to coarse.
        classes: number of classes.
        dims: spatial dimensions, 2 or 3.
        width: channels of the pyramid.
        pooling: global average of each level, or average and maximum.
        attention: label values of each region whose probability weighs a further mean of each level.
        scales: strides ([z,] y, x) of the last three levels against the segmentation; only attention needs them.
        evidence: whether the last layer also sees how sure and how large each region of the attention is.
        dropout: share of the pooled features that training drops.
        smoothing: levels that are convolved after the additions: `all`, or `coarse`, all but the finest, whose
            convolution is about half of what a small network's head costs.

    Raises:
        ValueError: `channels`, or with attention `scales`, do not name three levels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        *,
        dims: int = 3,
        width: int = 64,
        pooling: Pooling = "average",
        attention: Sequence[Sequence[int]] = (),
        scales: Sequence[Sequence[int]] = (),
        evidence: bool = False,
        dropout: float = 0.0,
        smoothing: Smoothing = "all",
    ) -> None:
        super().__init__()
        if len(channels) != LEVELS:
            raise ValueError(f"channels {tuple(channels)} do not name the last {LEVELS} encoder levels")
        if attention and len(scales) != LEVELS:
            raise ValueError(f"scales {tuple(scales)} do not name the last {LEVELS} encoder levels")
        convolution = CONVOLUTIONS[dims]
        self.pooling = pooling
        self.attention = [tuple(labels) for labels in attention]
        self.scales = [tuple(scale) for scale in scales]
        self.evidence = evidence
        self.uses_segmentation = bool(attention)
        self.lateral = nn.ModuleList(convolution(c, width, kernel_size=1) for c in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(
                convolution(width, width, kernel_size=3, padding=1)
                if smoothing == "all" or level > 0
                else nn.Identity(),
                nn.LeakyReLU(inplace=True),
            )
            for level in range(LEVELS)
        )
        pooled = width * LEVELS * ((2 if pooling == "average-max" else 1) + len(self.attention))
        pooled += 2 * len(self.attention) if evidence else 0
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(pooled, classes)

    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies; see `ClassificationHead`. Of the features the last three levels are used."""
        levels = [lateral(f) for lateral, f in zip(self.lateral, features[-LEVELS:], strict=True)]
        for fine in range(LEVELS - 2, -1, -1):
            size = levels[fine].shape[SPATIAL:]
            levels[fine] = levels[fine] + functional.interpolate(levels[fine + 1], size=size, mode="nearest")
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        regions = self._regions(segmentation_logits)
        weights = [None if regions is None else to_scale(regions, scale) for scale in self.scales or LEVELS * ((),)]
        pooled = []
        for level, of_level in zip(smoothed, weights, strict=True):
            everywhere = torch.ones_like(level[:, :1], dtype=torch.float32)
            average, *means = weighted_means(
                level, everywhere if of_level is None else torch.cat([everywhere, of_level], dim=1)
            ).unbind(1)
            pooled += [average, *([maxima(level)] if self.pooling == "average-max" else []), *means]
        seen = [self.dropout(torch.cat(pooled, dim=1))]
        if self.evidence and regions is not None and weights[0] is not None:
            each = zip(regions.split(1, dim=1), weights[0].split(1, dim=1), strict=True)
            seen += [evidence_of(region, blocks) for region, blocks in each]
        logits: torch.Tensor = self.classify(torch.cat(seen, dim=1))
        return logits

    def _regions(self, segmentation_logits: torch.Tensor | None) -> torch.Tensor | None:
        """Returns the regions of the attention (b, regions, [z,] y, x); None without it."""
        return soft_regions(self.needed(segmentation_logits), self.attention) if self.attention else None

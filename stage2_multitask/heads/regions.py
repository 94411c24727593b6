"""Where the segmentation says to look: soft regions, brought to an encoder level, and means weighted by them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch.nn import functional

from stage2_multitask.heads.head import SPATIAL

LARGEST_LOG_ODDS = 7.0
SMALLEST_SHARE = 1e-6
WEIGHT_FLOOR = 1e-6
"""Added to every weight, so that a mean weighted by a region that is nowhere is the plain mean, not 0 / 0."""


def soft_regions(segmentation_logits: torch.Tensor, regions: Sequence[Sequence[int]]) -> torch.Tensor:
    """Returns the probability of each region, the sum of its labels' softmax: float32, without gradient.

    Args:
        segmentation_logits: (b, k, [z,] y, x).
        regions: label values of each region.

    Returns:
        (b, as many regions, [z,] y, x).
    """
    probabilities = segmentation_logits.detach().float().softmax(dim=1)
    by_label = probabilities.unbind(1)
    return torch.stack([functools.reduce(torch.add, (by_label[label] for label in labels)) for labels in regions], 1)


def soft_region(segmentation_logits: torch.Tensor, labels: Sequence[int]) -> torch.Tensor:
    """Returns the probability (b, 1, [z,] y, x) of one region; see `soft_regions`."""
    return soft_regions(segmentation_logits, [labels])


def to_scale(region: torch.Tensor, scale: Sequence[int]) -> torch.Tensor:
    """Returns the region's mean over each block of `scale` pixels or voxels, as strided convolutions place them.

    Args:
        region: (b, regions, [z,] y, x).
        scale: edge of a block ([z,] y, x); at the far border a block ends with the image.
    """
    if all(n == 1 for n in scale):
        return region
    pool = functional.avg_pool3d if len(scale) == 3 else functional.avg_pool2d
    return pool(region, tuple(scale), tuple(scale), ceil_mode=True)


def weighted_means(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Returns each channel's mean over space with each region's weights.

    Products are of the features' precision (float32 for float16, which cannot hold such sums), sums of float32.

    Args:
        features: (b, c, [z,] y, x).
        weights: (b, regions, [z,] y, x), 0 or more; where a region's are 0 throughout, the plain mean comes out.

    Returns:
        (b, regions, c), of the features' type.
    """
    with torch.autocast(features.device.type, enabled=False):
        precision = torch.float32 if features.dtype is torch.float16 else features.dtype
        floored = weights.float().flatten(SPATIAL) + WEIGHT_FLOOR
        # One product for all regions; where channels are kept innermost, it reads them as they lie.
        means = (floored.to(precision) @ by_voxel(features).to(precision)) / floored.sum(-1, keepdim=True)
    return means.to(features.dtype)


def maxima(features: torch.Tensor) -> torch.Tensor:
    """Returns each channel's maximum (b, c) over space of features (b, c, [z,] y, x)."""
    voxels = by_voxel(features)
    # Where a gradient comes back, it costs least to know the voxel that it goes to.
    return voxels.max(1).values if features.requires_grad else voxels.amax(1)


def by_voxel(features: torch.Tensor) -> torch.Tensor:
    """Returns features (b, c, [z,] y, x) as (b, voxels, c)."""
    return features.movedim(1, -1).flatten(1, -2)


def weighted_mean(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Returns each channel's mean (b, c) with the weights (b, 1, [z,] y, x) of one region; see `weighted_means`."""
    return weighted_means(features, weights)[:, 0]


def evidence_of(region: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Returns what there is of a region as numbers of similar size: how sure its surest block is, and how much it is.

    Args:
        region: probability (b, 1, [z,] y, x).
        blocks: its means over blocks of voxels, so that a single voxel is no evidence.

    Returns:
        (b, 2): log-odds of the highest block, at most 7 either way, and the logarithm of the mean, at least ln 1e-6.
    """
    peak = blocks.float().flatten(1).amax(1)
    share = region.float().flatten(1).mean(1)
    peak = peak.clamp(1e-6, 1 - 1e-6)
    odds = (peak.log() - (1 - peak).log()).clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)  # OpenVINO knows no logit
    return torch.stack([odds, share.clamp(min=SMALLEST_SHARE).log()], dim=1)

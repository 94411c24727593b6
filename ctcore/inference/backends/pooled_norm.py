"""Instance normalisation whose float32 sums stay short, for OpenVINO.

OpenVINO adds a channel up voxel after voxel. After a million of them the sum of squares has lost four digits: on
windows of 48 x 128 x 288 voxels the standard deviation was 2e-4 off. Means of pooled means have no long sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

MOST_POOLED = 8
"""Longest side of a pooling window, unless no shorter one divides an axis."""


class PooledInstanceNorm(nn.Module):
    """What `nn.InstanceNorm2d` and `nn.InstanceNorm3d` compute, of inputs of one shape.

    Args:
        norm: the layer to stand for; one without running statistics.
    """

    def __init__(self, norm: nn.InstanceNorm2d | nn.InstanceNorm3d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalises features (b, c, y, x) or (b, c, z, y, x)."""
        sizes = [int(size) for size in features.shape[2:]]
        centred = features - pooled_mean(features, sizes)
        scale = (pooled_mean(centred * centred, sizes) + self.eps).rsqrt()
        if self.weight is None:
            return centred * scale
        each = (1, -1, *(1 for _ in sizes))
        return centred * (scale * self.weight.view(each)) + self.bias.view(each)


def pooled_mean(features: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Returns the mean over the spatial axes, of length 1 afterwards.

    Args:
        features: (b, c, y, x) or (b, c, z, y, x).
        sizes: lengths of the spatial axes.
    """
    pool: Any = functional.avg_pool3d if len(sizes) == 3 else functional.avg_pool2d
    left = list(sizes)
    while max(left) > 1:
        windows = [_side(size) for size in left]
        features = pool(features, windows)
        left = [size // window for size, window in zip(left, windows, strict=True)]
    return features


def with_pooled_norms(module: nn.Module) -> nn.Module:
    """Replaces the instance normalisation inside a network, in place; returns the network."""
    for name, child in module.named_children():
        if isinstance(child, nn.InstanceNorm2d | nn.InstanceNorm3d) and not child.track_running_stats:
            setattr(module, name, PooledInstanceNorm(child))
        else:
            with_pooled_norms(child)
    return module


def _side(size: int) -> int:
    """Returns the longest side of a pooling window that divides an axis."""
    return next((side for side in range(min(size, MOST_POOLED), 1, -1) if size % side == 0), size)

"""Instance normalisation that keeps the channels innermost, for training on CPUs.

Convolutions are fastest with the channels innermost, but torch normalises instances in the default order of axes only:
it reorders all values before and after, in both directions: a large part of a small network's step. Its batch
normalisation knows either order, and of a single image it computes the same: so it is given one image at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

INNERMOST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format by number of axes."""


class _EachImage(torch.autograd.Function):
    """Batch normalisation of every image of a batch by itself."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        result, statistics = torch.empty_like(images), []
        for image, place in zip(images.split(1), result.split(1), strict=True):
            normalised, mean, inverse_sd = torch.native_batch_norm(image, weight, bias, None, None, True, 0.0, eps)
            place.copy_(normalised)
            statistics += [mean, inverse_sd]
        ctx.save_for_backward(images, weight, *statistics)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight, *statistics = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=INNERMOST[images.dim()])
        result, of_weight, of_bias = torch.empty_like(images), None, None
        wanted = [True, weight is not None, weight is not None]
        parts = zip(gradient.split(1), images.split(1), result.split(1), strict=True)
        for (g, image, place), mean, inverse_sd in zip(parts, statistics[::2], statistics[1::2], strict=True):
            of_image, w, b = torch.ops.aten.native_batch_norm_backward(
                g, image, weight, None, None, mean, inverse_sd, True, ctx.eps, wanted
            )
            place.copy_(of_image)
            if weight is not None:
                of_weight = w if of_weight is None else of_weight + w
                of_bias = b if of_bias is None else of_bias + b
        return result, of_weight, of_bias, None


class _KeepsOrder(_InstanceNorm):
    """What both modules do; torch's own forward has the rest."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises every channel of every image (b, c, [z,] y, x)."""
        order = INNERMOST.get(images.dim())
        ordered = order is not None and images.is_contiguous(memory_format=order)
        if images.device.type != "cpu" or self.track_running_stats or not ordered:
            return super().forward(images)
        result: torch.Tensor = _EachImage.apply(images, self.weight, self.bias, self.eps)
        return result


class InstanceNorm2d(_KeepsOrder, nn.InstanceNorm2d):
    """torch's, on CPUs with the channels kept innermost where they are."""


class InstanceNorm3d(_KeepsOrder, nn.InstanceNorm3d):
    """torch's, on CPUs with the channels kept innermost where they are."""


KINDS: dict[type[nn.Module], type[InstanceNorm2d | InstanceNorm3d]] = {
    nn.InstanceNorm2d: InstanceNorm2d,
    nn.InstanceNorm3d: InstanceNorm3d,
}


def keep_channels_innermost(network: nn.Module) -> None:
    """Replaces a network's instance normalisations; weights, their names and results stay the same."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) in KINDS:
                setattr(parent, name, _same(child, KINDS[type(child)]))


def _same(norm: Any, kind: type[InstanceNorm2d | InstanceNorm3d]) -> nn.Module:
    made = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    if norm.affine:
        made.weight, made.bias = norm.weight, norm.bias
    made.train(norm.training)
    return made

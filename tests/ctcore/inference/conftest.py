"""Tiny random networks for the inference tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn


class Outputs(NamedTuple):
    segmentation: torch.Tensor
    classes: torch.Tensor


class TwoHeaded(nn.Module):
    """A U-Net whose pooled segmentation logits give two class logits."""

    def __init__(self, unet: nn.Module, labels: int) -> None:
        super().__init__()
        self.unet = unet
        self.head = nn.Linear(labels, 2)

    def forward(self, image: torch.Tensor) -> Outputs:
        segmentation = self.unet(image)
        return Outputs(segmentation, self.head(segmentation.mean(dim=(2, 3, 4))))


def make_unet(seed: int, labels: int = 3) -> nn.Module:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    torch.manual_seed(seed)
    network: nn.Module = PlainConvUNet(
        input_channels=1,
        n_stages=3,
        features_per_stage=[4, 8, 16],
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=[1, 2, 2],
        n_conv_per_stage=1,
        num_classes=labels,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network.eval()


@pytest.fixture
def unet() -> Callable[[int], nn.Module]:
    """Makes a three-stage U-Net of three labels from a seed."""
    return make_unet


@pytest.fixture
def two_headed() -> Callable[[int], nn.Module]:
    """Makes a U-Net with a classification head from a seed."""

    def make(seed: int) -> nn.Module:
        return TwoHeaded(make_unet(seed), 3).eval()

    return make

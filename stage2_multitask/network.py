"""The multi-task network: nnU-Net's own encoder and decoder, and a classification head on the encoder's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ctcore.nnunet.networks import build_unet
from stage2_multitask.heads.fpn import LEVELS, FPNHead
from stage2_multitask.recipe import HeadSettings


class MultiTaskOutput(NamedTuple):
    """What the network says of a batch.

    Attributes:
        segmentation: logits (b, k, z, y, x); under deep supervision a list from fine to coarse.
        classes: logits (b, n).

    What was not asked for is None.
    """

    segmentation: Any
    classes: Any


class MultiTaskNetwork(nn.Module):
    """One encoder, a segmentation decoder, a classification head; the encoder runs once.

    Args:
        unet: an nnU-Net network with `encoder` and `decoder`.
        head: maps the encoder's features to class logits.
    """

    def __init__(self, unet: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder: nn.Module = unet.get_submodule("encoder")
        self.decoder: nn.Module = unet.get_submodule("decoder")
        self.head: nn.Module = head

    def forward(self, images: torch.Tensor, segment: bool = True, classify: bool = True) -> MultiTaskOutput:
        """Segments and classifies images (b, c, z, y, x), or does one of the two."""
        features: Sequence[torch.Tensor] = self.encoder(images)
        return MultiTaskOutput(
            self.decoder(features) if segment else None,
            self.head(features) if classify else None,
        )


def build_network(
    architecture: Mapping[str, Any],
    output_channels: int,
    classes: int,
    head: HeadSettings,
    *,
    deep_supervision: bool = False,
) -> MultiTaskNetwork:
    """Builds the network of a recipe or an exported model.

    Args:
        architecture: nnU-Net's description of the U-Net.
        output_channels: segmentation outputs, background included.
        classes: number of classes.
        head: the head's settings.
        deep_supervision: whether the decoder answers at every level.
    """
    unet = build_unet(architecture, 1, output_channels, deep_supervision=deep_supervision)
    channels = list(architecture["arch_kwargs"]["features_per_stage"])[-LEVELS:]
    fpn = FPNHead(channels, classes, width=head.width, pooling=head.pooling, dropout=head.dropout)
    return MultiTaskNetwork(unet, fpn)

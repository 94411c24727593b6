"""A second decoder whose voxels each say a class.

Source: the dual-decoder report: beside the segmentation decoder another one, "that outputs class probabilities"; it is
nnU-Net's own (`UNetDecoder` of dynamic_network_architectures) with one output a class. The report does not say how its
voxels become a case's class. Here the case's logits are the mean of the voxels' logits: their softmax is the
(normalised) geometric mean of the voxels' class probabilities.

Its fault: the head could not be trained. Its average lets the voxels without pancreas outvote those of a lesion, so
that `foreground-weighted` takes the mean inside the predicted foreground. It costs as much as the segmentation decoder
does, the one head here of which that is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.head import CONVOLUTIONS, SPATIAL, ClassificationHead
from stage2_multitask.heads.regions import soft_region, weighted_mean

INSTANCE_NORMS: dict[int, type[nn.InstanceNorm2d | nn.InstanceNorm3d]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class DecoderHead(ClassificationHead):
    """nnU-Net's decoder to voxelwise class logits, and their mean.

    Args:
        encoder: the encoder's levels.
        classes: number of classes.
        convolutions: of each decoder level.
        foreground: label values whose probability weighs the mean; none for the plain average.
    """

    def __init__(
        self, encoder: EncoderLevels, classes: int, *, convolutions: int = 1, foreground: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.foreground = tuple(foreground)
        self.uses_segmentation = bool(self.foreground)
        self.decoder = build_decoder(encoder, classes, convolutions)

    def forward(
        self, features: Sequence[torch.Tensor], segmentation_logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classifies; see `ClassificationHead`. All features are used."""
        voxels: torch.Tensor = self.decoder(features)
        if self.foreground:
            region = soft_region(self.needed(segmentation_logits), self.foreground)
            return weighted_mean(voxels, region)
        return voxels.mean(dim=tuple(range(SPATIAL, voxels.dim())))


def build_decoder(encoder: EncoderLevels, outputs: int, convolutions: int) -> nn.Module:
    """Builds nnU-Net's decoder for an encoder, with nnU-Net's normalisation, activation and initial weights.

    Args:
        encoder: the encoder's levels.
        outputs: channels of the answer, which has the resolution of the first level.
        convolutions: of each decoder level.
    """
    from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
    from dynamic_network_architectures.initialization.weight_init import InitWeights_He

    # A description in place of the encoder: a decoder given the module would hold it, and a frozen head freeze it.
    description = SimpleNamespace(
        output_channels=list(encoder.channels),
        strides=[list(stride) for stride in encoder.strides],
        kernel_sizes=[list(kernel) for kernel in encoder.kernels],
        conv_op=CONVOLUTIONS[encoder.dims],
        conv_bias=True,
        norm_op=INSTANCE_NORMS[encoder.dims],
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        dropout_op=None,
        dropout_op_kwargs=None,
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    decoder: Any = UNetDecoder(description, outputs, convolutions, deep_supervision=False)
    decoder.seg_layers = decoder.seg_layers[-1:]  # the coarser ones answer under deep supervision only
    decoder.apply(InitWeights_He(1e-2))
    module: nn.Module = decoder
    return module

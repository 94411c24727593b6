"""Tiny features and every head on them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.head import CONVOLUTIONS, ClassificationHead
from stage2_multitask.heads.make import make_head
from stage2_multitask.heads.region_labels import Regions
from stage2_multitask.heads.settings import (
    ConvDenseSettings,
    DecoderSettings,
    FPNSettings,
    GAPSettings,
    HeadSettings,
    MaskedGeMSettings,
)

LABELS, CLASSES = 3, 3
REGIONS = Regions(lesion=(2,), foreground=(1, 2))
CHANNELS = (4, 6, 8)

DENSE = {"channels": (6, 4), "widths": (8, 8, 6, 6)}

HEADS: Mapping[str, HeadSettings] = {
    "fpn": FPNSettings(width=4),
    "fpn with everything": FPNSettings(
        width=4, pooling="average-max", attention=("each lesion", "foreground"), evidence=True, dropout=0.2
    ),
    "fpn, coarse levels smoothed": FPNSettings(width=4, smoothing="coarse"),
    "gap": GAPSettings(),
    "gap, weighted": GAPSettings(pooling="foreground-weighted"),
    "masked-gem": MaskedGeMSettings(widths=(8, 6)),
    "masked-gem, leaky": MaskedGeMSettings(widths=(8, 6), negative_slope=0.1),
    "masked-gem, stop-gradient": MaskedGeMSettings(widths=(8, 6), stop_gradient=True),
    "conv-dense": ConvDenseSettings.model_validate(DENSE),
    "conv-dense, plain logits": ConvDenseSettings.model_validate(DENSE | {"normalize_logits": False}),
    "decoder": DecoderSettings(),
    "decoder, weighted": DecoderSettings(convolutions=2, pooling="foreground-weighted"),
}


def tiny_levels(dims: int) -> EncoderLevels:
    """Three levels of 16, 8 and 4 pixels or voxels an edge."""
    return EncoderLevels(CHANNELS, tuple((s,) * dims for s in (1, 2, 2)), ((3,) * dims,) * 3, (16,) * dims)


def tiny_head(name: str, dims: int, seed: int = 0) -> ClassificationHead:
    torch.manual_seed(seed)
    return make_head(HEADS[name], tiny_levels(dims), CLASSES, REGIONS)


def tiny_features(dims: int, batch: int = 3, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = zip(CHANNELS, (16, 8, 4), strict=True)
    return [torch.randn(batch, c, *(n,) * dims, generator=generator) for c, n in sizes]


def tiny_segmentation(dims: int, batch: int = 3, seed: int = 2) -> torch.Tensor:
    return 3 * torch.randn(batch, LABELS, *(16,) * dims, generator=torch.Generator().manual_seed(seed))


class TinyNetwork(nn.Module):
    """Three convolutions, segmentation logits from the first, and a head."""

    def __init__(self, name: str, dims: int) -> None:
        super().__init__()
        self.head = tiny_head(name, dims)
        pairs = zip((1, *CHANNELS[:-1]), CHANNELS, (1, 2, 2), strict=True)
        self.levels = nn.ModuleList(CONVOLUTIONS[dims](a, b, 3, stride=s, padding=1) for a, b, s in pairs)
        self.segment = CONVOLUTIONS[dims](CHANNELS[0], LABELS, 1)
        nn.init.normal_(self.segment.weight, std=2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        features = []
        for level in self.levels:
            image = torch.nn.functional.leaky_relu(level(image))
            features.append(image)
        segmentation = self.segment(features[0])
        return {"segmentation": segmentation, "classes": self.head(features, segmentation)}

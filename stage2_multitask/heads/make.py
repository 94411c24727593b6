"""From a head's settings to the head."""

from __future__ import annotations

from typing import assert_never

from ctcore.errors import RecipeError
from stage2_multitask.heads.conv_dense import ConvDenseHead
from stage2_multitask.heads.decoder import DecoderHead
from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.fpn import LEVELS, FPNHead
from stage2_multitask.heads.gap import GAPHead
from stage2_multitask.heads.head import ClassificationHead
from stage2_multitask.heads.masked_gem import MaskedGeMHead
from stage2_multitask.heads.region_labels import Regions
from stage2_multitask.heads.settings import (
    ConvDenseSettings,
    DecoderSettings,
    FPNSettings,
    GAPSettings,
    HeadSettings,
    MaskedGeMSettings,
    WeightedPooling,
)


def make_head(settings: HeadSettings, encoder: EncoderLevels, classes: int, regions: Regions) -> ClassificationHead:
    """Builds a classification head.

    Args:
        settings: which head, and how.
        encoder: the levels of the encoder that it sits on.
        classes: number of classes.
        regions: what the segmentation's labels are, for heads that look at them.

    Raises:
        RecipeError: the head does not fit the encoder, the patch or the labels.
    """
    try:
        return _make(settings, encoder, classes, regions)
    except ValueError as error:
        raise RecipeError(f"head '{settings.kind}': {error}") from error


def _make(settings: HeadSettings, encoder: EncoderLevels, classes: int, regions: Regions) -> ClassificationHead:
    match settings:
        case FPNSettings():
            return FPNHead(
                encoder.channels[-LEVELS:],
                classes,
                dims=encoder.dims,
                width=settings.width,
                pooling=settings.pooling,
                attention=[labels for name in settings.attention for labels in regions.named(name)],
                scales=encoder.scales[-LEVELS:],
                evidence=settings.evidence,
                dropout=settings.dropout,
                smoothing=settings.smoothing,
            )
        case GAPSettings():
            foreground = _weights(settings.pooling, regions)
            return GAPHead(encoder.channels[-1], classes, foreground=foreground, scale=encoder.scales[-1])
        case MaskedGeMSettings():
            return MaskedGeMHead(
                encoder.channels[-1],
                classes,
                foreground=regions.foreground_labels(),
                scale=encoder.scales[-1],
                widths=settings.widths,
                dropouts=settings.dropouts,
                stop_gradient=settings.stop_gradient,
                negative_slope=settings.negative_slope,
            )
        case ConvDenseSettings():
            return ConvDenseHead(
                encoder.channels[-1],
                classes,
                bottleneck_size=encoder.bottleneck_size,
                convolution_channels=settings.channels,
                widths=settings.widths,
                dropouts=settings.dropouts,
                normalize_logits=settings.normalize_logits,
            )
        case DecoderSettings():
            foreground = _weights(settings.pooling, regions)
            return DecoderHead(encoder, classes, convolutions=settings.convolutions, foreground=foreground)
        case _:
            assert_never(settings)


def _weights(pooling: WeightedPooling, regions: Regions) -> tuple[int, ...]:
    """Returns the labels that weigh a head's mean: none where all voxels count the same."""
    return regions.foreground_labels() if pooling == "foreground-weighted" else ()

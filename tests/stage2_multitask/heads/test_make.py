"""Heads from settings: sizes that the reports give, and what does not fit."""

from __future__ import annotations

import pytest
import torch

from ctcore.errors import RecipeError
from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.fpn import FPNHead
from stage2_multitask.heads.gap import GAPHead
from stage2_multitask.heads.make import make_head
from stage2_multitask.heads.masked_gem import MaskedGeMHead
from stage2_multitask.heads.region_labels import Regions
from stage2_multitask.heads.settings import (
    ConvDenseSettings,
    DecoderSettings,
    FPNSettings,
    GAPSettings,
    HeadSettings,
    MaskedGeMSettings,
)
from tests.stage2_multitask.heads.tiny import REGIONS, tiny_levels


def parameters(head: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())


def published(dims: int, bottleneck: int) -> EncoderLevels:
    """nnU-Net's six stages for a patch of [64 x] 128 x 192."""
    strides = [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    channels = (32, 64, 128, 256, bottleneck, bottleneck)
    return EncoderLevels(channels, tuple(tuple(s[-dims:]) for s in strides), ((3,) * dims,) * 6, (64, 128, 192)[-dims:])


def test_gap_has_the_963_parameters_of_its_report() -> None:
    assert parameters(make_head(GAPSettings(), published(3, 320), 3, REGIONS)) == 963
    weighted = GAPSettings(pooling="foreground-weighted")
    assert parameters(make_head(weighted, published(3, 320), 3, REGIONS)) == 963


def test_masked_gem_by_hand() -> None:
    layers = 320 * 256 + 256 + 256 * 128 + 128 + 128 * 3 + 3
    assert parameters(make_head(MaskedGeMSettings(), published(3, 320), 3, REGIONS)) == 1 + layers


def test_conv_dense_by_hand() -> None:
    # A bottleneck of 4 x 6 is 2 x 4 after two kernels of 2.
    convolutions = 512 * 256 * 4 + 2 * 256 + 256 * 128 * 4 + 2 * 128
    hidden = 128 * 8 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 2 * (512 + 256 + 128 + 64)
    head = make_head(ConvDenseSettings(), published(2, 512), 3, REGIONS)
    assert parameters(head) == convolutions + hidden + 64 * 3 + 2 * 3


def test_decoder_keeps_no_encoder_and_no_unused_output() -> None:
    levels = tiny_levels(3)
    head = make_head(DecoderSettings(), levels, 3, REGIONS)
    # Transposed convolution, convolution over the joined features, instance normalisation; of both levels.
    coarse = (8 * 6 * 8 + 6) + (12 * 6 * 27 + 6) + 2 * 6
    fine = (6 * 4 * 8 + 4) + (8 * 4 * 27 + 4) + 2 * 4
    assert parameters(head) == coarse + fine + (4 * 3 + 3)


@pytest.mark.parametrize(
    ("settings", "regions", "message"),
    [
        (MaskedGeMSettings(), Regions(), "head 'masked-gem': .* no segmentation label is foreground"),
        (GAPSettings(pooling="foreground-weighted"), Regions(lesion=(1,)), "head 'gap'"),
        (DecoderSettings(pooling="foreground-weighted"), Regions(), "head 'decoder'"),
        (
            FPNSettings(attention=("lesion",)),
            Regions(foreground=(1,)),
            "head 'fpn': .* label is lesion",
        ),
    ],
)
def test_without_the_labels_that_it_looks_at(settings: HeadSettings, regions: Regions, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_head(settings, tiny_levels(2), 2, regions)


def test_too_few_levels_for_a_pyramid() -> None:
    levels = EncoderLevels((4, 8), ((1, 1), (2, 2)), ((3, 3), (3, 3)), (8, 8))
    with pytest.raises(RecipeError, match="do not name the last 3 encoder levels"):
        make_head(FPNSettings(), levels, 2, REGIONS)


def test_a_bottleneck_too_small_for_the_convolutions() -> None:
    levels = EncoderLevels((4, 8), ((1, 1), (4, 4)), ((3, 3), (3, 3)), (8, 16))
    with pytest.raises(RecipeError, match=r"the bottleneck \(2, 4\) .* use a larger patch_size"):
        make_head(ConvDenseSettings(), levels, 2, REGIONS)


def test_each_head_gets_the_scales_of_the_levels_that_it_reads() -> None:
    levels = published(2, 320)
    pyramid = make_head(FPNSettings(attention=("lesion",)), levels, 2, REGIONS)
    assert isinstance(pyramid, FPNHead)
    assert pyramid.scales == [(8, 8), (16, 16), (32, 32)]
    for settings in (GAPSettings(pooling="foreground-weighted"), MaskedGeMSettings()):
        head = make_head(settings, levels, 2, REGIONS)
        assert isinstance(head, GAPHead | MaskedGeMHead)
        assert head.scale == (32, 32)


def test_each_lesion_label_is_a_region_of_its_own() -> None:
    regions = Regions(lesion=(1, 2), foreground=(1, 2, 3))
    pyramid = make_head(FPNSettings(attention=("each lesion", "foreground")), tiny_levels(3), 2, regions)
    assert isinstance(pyramid, FPNHead)
    assert pyramid.attention == [(1,), (2,), (1, 2, 3)]

"""What is read from nnU-Net's description, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from ctcore.nnunet.planning.timm_unet import describe_timm_unet
from stage2_multitask.heads.encoder_levels import EncoderLevels

ARCHITECTURE = {
    "network_class_name": "any",
    "arch_kwargs": {
        "n_stages": 4,
        "features_per_stage": [32, 64, 128, 256],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    },
}


def test_by_hand() -> None:
    levels = EncoderLevels.of_architecture(ARCHITECTURE, (16, 64, 60))
    assert levels.channels == (32, 64, 128, 256)
    assert levels.kernels[0] == (1, 3, 3)
    assert levels.dims == 3
    assert levels.scales == ((1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 8, 8))
    assert levels.bottleneck_size == (4, 8, 8)  # 60 / 8, rounded up as strided convolutions do


def test_a_number_stands_for_every_axis() -> None:
    arguments = {"features_per_stage": [8, 16], "strides": [1, 2], "kernel_sizes": [3, [3, 5]]}
    levels = EncoderLevels.of_architecture({"arch_kwargs": arguments}, [8, 12])
    assert levels == EncoderLevels((8, 16), ((1, 1), (2, 2)), ((3, 3), (3, 5)), (8, 12))


def test_behind_a_strided_stem_scales_are_against_its_grid() -> None:
    levels = EncoderLevels((8, 16), ((2, 2), (2, 1)), ((3, 3), (3, 3)), (32, 30))
    assert levels.scales == ((1, 1), (2, 1))
    assert levels.bottleneck_size == (8, 15)


@pytest.mark.parametrize("patch", [(64, 48), (1, 64, 48)])
def test_a_2d_network_with_an_encoder_of_timms(patch: tuple[int, ...]) -> None:
    levels = EncoderLevels.of_architecture(describe_timm_unet("test_convnext", (64, 48)), patch)
    assert levels.channels == (8, 12, 24, 32)  # two of the stem, two of timm's: 48 / 16 is less than 4 pixels
    assert levels.patch_size == (64, 48)
    assert levels.scales[-1] == (8, 8)
    assert levels.bottleneck_size == (8, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((8,), ((1,),), ((3,),), (16,)), "has 1 axes"),
        (((8, 8), ((1, 1),), ((3, 3),), (16, 16)), "differ in length"),
        (((), (), (), (16, 16)), "differ in length"),
        (((8,), ((1, 1),), ((3, 3),), (16, 16, 16)), "do not fit patch_size"),
    ],
)
def test_refused(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderLevels(*values)

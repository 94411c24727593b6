"""Which of timm's models can be an encoder, and the levels that they get."""

from __future__ import annotations

import pytest
import torch

from ctcore.errors import RecipeError
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.timm_unet import describe_timm_unet


@pytest.mark.parametrize(
    ("model", "patch", "channels"),
    [
        ("test_resnet", (128, 192), [16, 32, 32, 48, 192, 96]),  # timm begins at half of the resolution
        ("test_resnet", (32, 64), [16, 32, 32, 48]),  # 32 / 16 would be less than 4 pixels
        ("test_convnext", (64, 32), [8, 12, 24, 32]),  # at a quarter: 24 is halved twice, 6 is too narrow
        ("vgg11", (16, 16), [64, 128, 256]),  # at the whole: no stem
    ],
)
def test_levels_by_hand(model: str, patch: tuple[int, int], channels: list[int]) -> None:
    description = describe_timm_unet(model, patch)
    arguments = description["arch_kwargs"]
    assert arguments["features_per_stage"] == channels
    assert arguments["strides"] == [[1, 1]] + [[2, 2]] * (len(channels) - 1)
    network = build_unet(description, 1, 2)
    levels = network.get_submodule("encoder")(torch.zeros(1, 1, *patch))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (n, patch[0] >> k, patch[1] >> k) for k, n in enumerate(channels)
    ]


@pytest.mark.parametrize(
    ("model", "patch", "message"),
    [
        ("test_vit", (64, 64), r"its feature maps are \[16, 16, 16\] times smaller than the image, not each twice"),
        ("swin_tiny_patch4_window7_224", (128, 128), r"it does not take a patch of \(128, 128\): Input height \(128\)"),
        ("test_efficientnet", (64, 64), r"\d+ of its weights \(blocks\.4\.\S+, \.\.\.\) have no part in the levels"),
        ("inception_v3", (64, 64), r"its feature maps are \[\(2, 64, 29, 29\), .*\], not \[\(2, 64, 32, 32\), "),
        (
            "test_resnet",
            (72, 64),
            r"patch_size \(1, 72, 64\) is not divisible by 16, the stride of encoder 'timm:test_",
        ),
        ("test_resnet", (8, 64), r"patch_size \(1, 8, 64\) is too small for encoder .*; make both at least 16"),
        ("test_convnext", (12, 64), r"patch_size \(1, 12, 64\) is too small .*; make both at least 16"),
        ("vgg11", (8, 8), r"make both at least 16"),
    ],
)
def test_unsuitable_models_are_refused(model: str, patch: tuple[int, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        describe_timm_unet(model, patch)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_built_without_memory() -> None:
    assert describe_timm_unet("regnety_002", (32, 32))["arch_kwargs"]["features_per_stage"] == [16, 32, 24, 56]

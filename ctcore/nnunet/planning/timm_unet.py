"""The description of a 2-D U-Net with an encoder of timm's, and which of timm's models can be one."""

from __future__ import annotations

import itertools
from typing import Any

from ctcore.errors import RecipeError, first_line
from ctcore.nnunet.encoders import TIMM_PREFIX
from ctcore.nnunet.networks import TIMM_UNET
from ctcore.nnunet.planning.architecture import DECODER_CONVOLUTIONS, MIN_FEATURE_MAP, layers_of
from ctcore.nnunet.recipe import FEWEST_LEVELS

NARROWEST_STEM = 8
"""Channels that a level of the stem has at least."""


def describe_timm_unet(model: str, patch_size: tuple[int, int]) -> dict[str, Any]:
    """Returns what a plan holds of a U-Net with timm's encoder, in nnU-Net's words.

    The levels are at strides 1, 2, 4, ...; as many of timm's are used as leave feature maps of 4 pixels. A level of the
    stem has half of the channels of the next. The encoder is tried without memory (on torch's meta device): it must
    take the patch, give the feature maps that it announces, and use every weight for them.

    Args:
        model: a name of `timm.list_models()`.
        patch_size: pixels (y, x).

    Raises:
        RecipeError: the model is unsuitable, or the patch does not fit it.
    """
    whole = _on_meta(model, None, patch_size)
    reductions = [int(n) for n in whole.feature_info.reduction()]
    doubling = all(after == 2 * before for before, after in itertools.pairwise(reductions))
    if not doubling or reductions[0] & (reductions[0] - 1):  # the first is no power of two
        raise _unsuitable(model, f"its feature maps are {reductions} times smaller than the image, not each twice")
    fitting = [
        (level, channels, reduction)
        for level, channels, reduction in zip(
            whole.feature_info.out_indices, whole.feature_info.channels(), reductions, strict=True
        )
        if min(patch_size) >= MIN_FEATURE_MAP * reduction
    ]
    of_stem = reductions[0].bit_length() - 1
    if of_stem + len(reductions) < FEWEST_LEVELS:
        raise _unsuitable(model, f"its feature maps, {reductions} times smaller than the image, are too few")
    if of_stem + len(fitting) < FEWEST_LEVELS or not fitting:
        raise RecipeError(
            f"patch_size (1, {patch_size[0]}, {patch_size[1]}) is too small for encoder '{TIMM_PREFIX}{model}';"
            f" make both at least {MIN_FEATURE_MAP * reductions[max(0, FEWEST_LEVELS - 1 - of_stem)]}"
        )
    coarsest = fitting[-1][2]
    if any(n % coarsest for n in patch_size):
        raise RecipeError(
            f"patch_size (1, {patch_size[0]}, {patch_size[1]}) is not divisible by {coarsest}, the stride of encoder"
            f" '{TIMM_PREFIX}{model}'; choose multiples of it"
        )
    levels, channels = [level for level, _, _ in fitting], [int(n) for _, n, _ in fitting]
    _try(model, levels, channels, [reduction for _, _, reduction in fitting], patch_size)
    stem = [max(NARROWEST_STEM, channels[0] // 2**k) for k in range(of_stem, 0, -1)]
    n_stages = of_stem + len(levels)
    layers, imported = layers_of(2)
    return {
        "network_class_name": TIMM_UNET,
        "arch_kwargs": {
            "timm_model": model,
            "timm_levels": levels,
            "n_stages": n_stages,
            "features_per_stage": [*stem, *channels],
            "kernel_sizes": [[3, 3]] * n_stages,
            "strides": [[1, 1], *([[2, 2]] * (n_stages - 1))],
            "n_conv_per_stage_decoder": [DECODER_CONVOLUTIONS["timm"]] * (n_stages - 1),
            **layers,
        },
        "_kw_requires_import": imported,
    }


def _on_meta(model: str, levels: list[int] | None, patch_size: tuple[int, int]) -> Any:
    import torch

    from ctcore.nnunet.timm_encoder import timm_features

    try:
        try:
            with torch.device("meta"):
                return timm_features(model, levels)
        except NotImplementedError:  # some models compute with their weights as they are built
            return timm_features(model, levels).to("meta")
    except Exception as error:  # timm's models refuse in their own ways
        raise _unsuitable(model, f"{first_line(error)} (patch {patch_size})") from error


def _try(
    model: str, levels: list[int], channels: list[int], reductions: list[int], patch_size: tuple[int, int]
) -> None:
    """Runs the encoder forwards and backwards on a batch of two patches, without memory."""
    import torch

    encoder = _on_meta(model, levels, patch_size).train()
    try:
        maps = encoder(torch.zeros(2, 1, *patch_size, device="meta"))
        torch.stack([each.sum() for each in maps]).sum().backward()
    except Exception as error:
        raise _unsuitable(model, f"it does not take a patch of {patch_size}: {first_line(error)}") from error
    found = [tuple(each.shape) for each in maps]
    expected = [(2, n, *(size // r for size in patch_size)) for n, r in zip(channels, reductions, strict=True)]
    if found != expected:
        raise _unsuitable(model, f"its feature maps are {found}, not {expected}")
    unused = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    if unused:
        raise _unsuitable(
            model, f"{len(unused)} of its weights ({unused[0]}, ...) have no part in the levels that fit {patch_size}"
        )


def _unsuitable(model: str, reason: str) -> RecipeError:
    return RecipeError(
        f"encoder '{TIMM_PREFIX}{model}' cannot be used: {reason}; choose another patch_size, or a convolutional model"
        f" such as {TIMM_PREFIX}resnet18 or {TIMM_PREFIX}convnext_atto"
    )

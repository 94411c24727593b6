"""nnU-Net's description of a U-Net, from encoder, widths, spacing and patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcore.errors import RecipeError
from ctcore.nnunet.recipe import FEWEST_LEVELS

Triple = tuple[int, int, int]
Size = tuple[int, ...]
"""A number for each axis that the network has, ([z,] y, x)."""

MIN_FEATURE_MAP = 4
"""nnU-Net's smallest edge of a feature map."""

UNET_CLASSES = {
    "plain": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "resenc": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
}
BLOCKS_KEY = {"plain": "n_conv_per_stage", "resenc": "n_blocks_per_stage"}
DECODER_CONVOLUTIONS = {"plain": 2, "resenc": 1, "timm": 1}


@dataclass(frozen=True)
class Topology:
    """How a U-Net goes from level to level.

    Attributes:
        strides: stride ([z,] y, x) into each level; the first is the stem's.
        kernels: kernel ([z,] y, x) of each level.
    """

    strides: tuple[Size, ...]
    kernels: tuple[Size, ...]

    @property
    def levels(self) -> int:
        """Number of encoder levels."""
        return len(self.strides)

    @property
    def dims(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.strides[0])


def planned_size(patch_size: Triple) -> Size:
    """Returns a patch as nnU-Net's plans hold it: (y, x) for a patch of depth 1, which makes the network 2-D."""
    return patch_size[1:] if patch_size[0] == 1 else patch_size


def topology_of(
    spacing_mm: tuple[float, float, float], patch_size: Triple, features: Sequence[int] = (), stem_stride: int = 1
) -> Topology:
    """Returns nnU-Net's strides and kernels: axes of coarse spacing are halved later, none below 4 voxels.

    For a patch of depth 1 they are those of a 2-D network, which the spacing along z does not concern. Behind a strided
    stem they are those of the coarser grid.

    Args:
        spacing_mm: spacing (z, y, x).
        patch_size: voxels (z, y, x).
        features: channels of each level, which fix their number; as many levels as the patch allows if not given.
        stem_stride: stride into the first level, on every axis of the network.

    Raises:
        RecipeError: the patch cannot be halved as often as that or not twice, or is not divisible.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    most = len(features) - 1 if features else max(patch_size)
    size = planned_size(patch_size)
    if any(n % stem_stride for n in size):
        raise RecipeError(f"patch_size {patch_size} is not divisible by stem_stride {stem_stride}; choose one that is")
    size = tuple(n // stem_stride for n in size)
    spacing = [mm * stem_stride for mm in spacing_mm[-len(size) :]]
    _, strides, kernels, padded, _ = get_pool_and_conv_props(spacing, size, MIN_FEATURE_MAP, most)
    levels, fitting = len(strides), (*patch_size[: -len(size)], *(int(n) * stem_stride for n in padded))
    if levels != (len(features) or levels) or fitting != patch_size:
        named = f", but features {tuple(features)} names {len(features)}" if features else ""
        raise RecipeError(
            f"patch_size {patch_size} gives {levels} levels at patch {fitting}{named};"
            f" choose a patch divisible by the strides {strides}"
        )
    if levels < FEWEST_LEVELS:
        raise RecipeError(
            f"patch_size {patch_size} allows {levels} levels at {spacing_mm} mm, and {FEWEST_LEVELS} are needed;"
            " choose a larger patch_size or a finer spacing_mm"
        )
    return Topology(((stem_stride,) * len(size), *_sizes(strides)[1:]), _sizes(kernels))


def _sizes(rows: Sequence[Sequence[int]]) -> tuple[Size, ...]:
    return tuple(tuple(int(n) for n in row) for row in rows)


def describe_unet(encoder: str, topology: Topology, features: Sequence[int], blocks: Sequence[int]) -> dict[str, Any]:
    """Returns what nnU-Net's plans hold of a U-Net, 2-D or 3-D as the topology is.

    Args:
        encoder: `plain` or `resenc`.
        topology: strides and kernels of the levels.
        features: channels of each level.
        blocks: convolutions (plain) or residual blocks of each encoder level.
    """
    layers, imported = layers_of(topology.dims)
    stem = max(topology.strides[0])
    # A residual encoder has a convolution before its first block, which alone is computed at the image's own spacing.
    narrow = {"stem_channels": max(1, features[0] // stem**2)} if encoder == "resenc" and stem > 1 else {}
    return {
        "network_class_name": UNET_CLASSES[encoder],
        "arch_kwargs": {
            "n_stages": topology.levels,
            "features_per_stage": list(features),
            "kernel_sizes": [list(kernel) for kernel in topology.kernels],
            "strides": [list(stride) for stride in topology.strides],
            BLOCKS_KEY[encoder]: list(blocks),
            "n_conv_per_stage_decoder": [DECODER_CONVOLUTIONS[encoder]] * (topology.levels - 1),
            **narrow,
            **layers,
        },
        "_kw_requires_import": imported,
    }


def layers_of(dims: int) -> tuple[dict[str, Any], list[str]]:
    """Returns nnU-Net's convolution, normalisation and activation, and which of these arguments name a class."""
    return {
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }, ["conv_op", "norm_op", "dropout_op", "nonlin"]

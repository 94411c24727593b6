"""nnU-Net's description of a U-Net, from encoder, widths, spacing and patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcore.errors import RecipeError
from ctcore.nnunet.recipe import FEWEST_LEVELS

Triple = tuple[int, int, int]

MIN_FEATURE_MAP = 4
"""nnU-Net's smallest edge of a feature map."""

UNET_CLASSES = {
    "plain": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "resenc": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
}
BLOCKS_KEY = {"plain": "n_conv_per_stage", "resenc": "n_blocks_per_stage"}
DECODER_CONVOLUTIONS = {"plain": 2, "resenc": 1}


@dataclass(frozen=True)
class Topology:
    """How a U-Net goes from level to level.

    Attributes:
        strides: stride (z, y, x) into each level; the first is 1.
        kernels: kernel (z, y, x) of each level.
    """

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]

    @property
    def levels(self) -> int:
        """Number of encoder levels."""
        return len(self.strides)


def topology_of(spacing_mm: tuple[float, float, float], patch_size: Triple, features: Sequence[int] = ()) -> Topology:
    """Returns nnU-Net's strides and kernels: axes of coarse spacing are halved later, none below 4 voxels.

    Args:
        spacing_mm: spacing (z, y, x).
        patch_size: voxels (z, y, x).
        features: channels of each level, which fix their number; as many levels as the patch allows if not given.

    Raises:
        RecipeError: the patch cannot be halved as often as that or not twice, or is not divisible.
    """
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    most = len(features) - 1 if features else max(patch_size)
    _, strides, kernels, padded, _ = get_pool_and_conv_props(spacing_mm, patch_size, MIN_FEATURE_MAP, most)
    levels, fitting = len(strides), tuple(int(n) for n in padded)
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
    return Topology(_triples(strides), _triples(kernels))


def _triples(rows: Sequence[Sequence[int]]) -> tuple[Triple, ...]:
    return tuple((int(z), int(y), int(x)) for z, y, x in rows)


def describe_unet(encoder: str, topology: Topology, features: Sequence[int], blocks: Sequence[int]) -> dict[str, Any]:
    """Returns what nnU-Net's plans hold of a 3-D U-Net.

    Args:
        encoder: `plain` or `resenc`.
        topology: strides and kernels of the levels.
        features: channels of each level.
        blocks: convolutions (plain) or residual blocks of each encoder level.
    """
    return {
        "network_class_name": UNET_CLASSES[encoder],
        "arch_kwargs": {
            "n_stages": topology.levels,
            "features_per_stage": list(features),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(kernel) for kernel in topology.kernels],
            "strides": [list(stride) for stride in topology.strides],
            BLOCKS_KEY[encoder]: list(blocks),
            "n_conv_per_stage_decoder": [DECODER_CONVOLUTIONS[encoder]] * (topology.levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }

"""Building U-Nets, nnU-Net's own and those with timm's encoders, from the description in a plan or a model folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctcore.errors import BundleError, first_line

if TYPE_CHECKING:
    import torch

ARCHITECTURES = "dynamic_network_architectures.architectures."
TIMM_UNET = "ctcore.nnunet.timm_encoder.TimmUNet"
"""The one architecture of our own; of timm it builds only models that timm lists."""
LAYERS = "torch.nn."
NETWORKS = frozenset({"PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet"})
LAYER_NAMES = frozenset(
    {
        *(f"{kind}{dims}d" for kind in ("Conv", "InstanceNorm", "BatchNorm", "Dropout") for dims in (2, 3)),
        *("GroupNorm", "Dropout", "LeakyReLU", "ReLU", "ReLU6", "PReLU", "ELU", "GELU", "SiLU", "Mish", "Hardswish"),
    }
)
"""What a description may name, by the last part of its dotted name: it is imported and called."""

INTERPOLATION = {2: "bilinear", 3: "trilinear"}
"""By spatial dimensions."""

LARGEST_NUMBER = 1 << 16
"""Largest number in a description, of channels for instance."""

MOST_REPEATED = 64
"""Most stages, or convolutions of one: what is made in a loop."""

MOST_NUMBERS = 1000
"""Most entries of a description."""


def build_unet(
    architecture: Mapping[str, Any], input_channels: int, output_channels: int, *, deep_supervision: bool = False
) -> torch.nn.Module:
    """Builds a U-Net with nnU-Net's builder; it has `encoder` and `decoder`.

    Behind a strided stem its decoder ends on the stem's grid; the U-Net's own answer is interpolated to the image, but
    under deep supervision, which compares it with label maps of the stem's grid.

    Args:
        architecture: nnU-Net's description; the convolution that it names makes the network 2-D or 3-D.
        input_channels: channels of the image.
        output_channels: segmentation outputs, background included.
        deep_supervision: whether the decoder answers at every level.

    Raises:
        BundleError: the description names an architecture that is neither one of dynamic_network_architectures' nor
            ours, or a layer that is not one of torch's: whatever it names is called, so that nothing else may be
            named; or a number beyond reason.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    name = str(architecture.get("network_class_name"))
    if name != TIMM_UNET and not _is_module(name, ARCHITECTURES, NETWORKS):
        raise BundleError(
            f"architecture '{name}' is not one of dynamic_network_architectures; it cannot be built safely"
        )
    try:
        for key in architecture["_kw_requires_import"]:
            layer = architecture["arch_kwargs"][key]
            if layer is not None and not _is_module(str(layer), LAYERS, LAYER_NAMES):
                raise BundleError(f"{key} '{layer}' is not one of torch's layers; it cannot be built safely")
        _check_numbers(architecture["arch_kwargs"])
        network: torch.nn.Module = get_network_from_plans(
            name,
            dict(architecture["arch_kwargs"]),
            list(architecture["_kw_requires_import"]),
            input_channels,
            output_channels,
            allow_init=True,
            deep_supervision=deep_supervision,
        )
    except (AssertionError, ImportError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BundleError(f"architecture '{name}' cannot be built: {first_line(error)}") from error
    stem = stem_of(network)
    if any(n != 1 for n in stem):
        network.register_forward_hook(lambda _, __, logits: to_image(logits, stem))
    return network


def stem_of(unet: torch.nn.Module) -> tuple[int, ...]:
    """Returns the stride ([z,] y, x) from the image into the first level of a U-Net with an `encoder`."""
    encoder: Any = unet.get_submodule("encoder")
    return tuple(int(n) for n in encoder.strides[0])


def to_image(logits: Any, stem: Sequence[int]) -> Any:
    """Returns segmentation logits interpolated from the first level's grid to the image's.

    Args:
        logits: (b, k, [z,] y, x); a list, deep supervision's, is returned as it is.
        stem: stride ([z,] y, x) into the first level.
    """
    from torch.nn.functional import interpolate

    if isinstance(logits, list | tuple) or all(n == 1 for n in stem):
        return logits
    scale = tuple(float(n) for n in stem)
    return interpolate(logits, scale_factor=scale, mode=INTERPOLATION[len(stem)], align_corners=False)


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    """Refuses what no network has: numbers beyond reason would be tried, in loops and in memory.

    Raises:
        BundleError: a number, or how many there are, is too large.
    """
    entries = 0
    for key, value in arguments.items():
        most = MOST_REPEATED if key.startswith("n_") else LARGEST_NUMBER
        rest = [value]
        while rest:
            item = rest.pop()
            entries += 1
            if entries > MOST_NUMBERS:
                raise BundleError(f"the architecture has more than {MOST_NUMBERS} entries; it cannot be built safely")
            if isinstance(item, Mapping):
                rest.extend(item.values())
            elif isinstance(item, list | tuple):
                rest.extend(item)
            elif isinstance(item, int | float) and not abs(item) <= most:  # NaN is refused, too
                raise BundleError(f"the architecture has {key} {item}, {most} at most can be built")


def _is_module(name: str, package: str, allowed: Collection[str]) -> bool:
    """Tells whether a dotted name inside a package is an allowed torch module's class; no other is imported."""
    import pydoc

    import torch

    if not name.startswith(package) or name.rpartition(".")[2] not in allowed:
        return False
    found = pydoc.locate(name)
    return isinstance(found, type) and issubclass(found, torch.nn.Module)

"""Building U-Nets, nnU-Net's own and those with timm's encoders, from the description in a plan or a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ctcore.errors import BundleError, first_line

if TYPE_CHECKING:
    import torch

ARCHITECTURES = "dynamic_network_architectures.architectures."
TIMM_UNET = "ctcore.nnunet.timm_encoder.TimmUNet"
"""The one architecture of our own; of timm it builds only models that timm lists."""
LAYERS = "torch.nn."


def build_unet(
    architecture: Mapping[str, Any], input_channels: int, output_channels: int, *, deep_supervision: bool = False
) -> torch.nn.Module:
    """Builds a U-Net with nnU-Net's builder; it has `encoder` and `decoder`.

    Args:
        architecture: nnU-Net's description; the convolution that it names makes the network 2-D or 3-D.
        input_channels: channels of the image.
        output_channels: segmentation outputs, background included.
        deep_supervision: whether the decoder answers at every level.

    Raises:
        BundleError: the description names an architecture that is neither one of dynamic_network_architectures' nor
            ours, or a layer that is not one of torch's: whatever it names is called, so that nothing else may be named.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    name = str(architecture.get("network_class_name"))
    if name != TIMM_UNET and not _is_module(name, ARCHITECTURES):
        raise BundleError(
            f"architecture '{name}' is not one of dynamic_network_architectures; it cannot be built safely"
        )
    try:
        for key in architecture["_kw_requires_import"]:
            layer = architecture["arch_kwargs"][key]
            if layer is not None and not _is_module(str(layer), LAYERS):
                raise BundleError(f"{key} '{layer}' is not one of torch's layers; it cannot be built safely")
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
    return network


def _is_module(name: str, package: str) -> bool:
    """Tells whether a dotted name inside a package is a torch module's class."""
    import pydoc

    import torch

    found = pydoc.locate(name) if name.startswith(package) else None
    return isinstance(found, type) and issubclass(found, torch.nn.Module)

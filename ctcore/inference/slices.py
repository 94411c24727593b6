"""2-D networks where volumes are computed: a window of depth 1 is a slice, several slices are one batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ctcore.geometry import Triple
from ctcore.inference.backends.backend import SEGMENTATION, named_outputs


class SliceNetwork(nn.Module):
    """A 2-D network that takes and gives slices as volumes of depth 1, as backends and blending know windows.

    Args:
        network: takes images (b, c, y, x); see `named_outputs` for what its `forward` may return.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Runs the network on images (b, c, 1, y, x); segmentation logits are (b, k, 1, y, x)."""
        answer: Any = self.network(images.squeeze(2))
        outputs = named_outputs(answer)
        return outputs | {SEGMENTATION: outputs[SEGMENTATION].unsqueeze(2)}


def for_windows(network: nn.Module, patch_size: Triple) -> nn.Module:
    """Returns a network for windows (b, c, z, y, x): itself; a 2-D one, which has a patch of depth 1, adapted."""
    return SliceNetwork(network) if patch_size[0] == 1 else network

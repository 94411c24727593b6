"""timm's exponential moving average of the weights, each weight averaged once a step.

timm goes through the state dictionary, in which nnU-Net's networks name a weight up to four times (the decoder holds
the encoder, a block its convolution twice): it would average such a weight as often, hence over fewer steps than asked.
"""

from __future__ import annotations

import warnings
from itertools import chain

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # about timm's own use of torch
    from timm.utils.model_ema import ModelEmaV3


class MovingAverage(ModelEmaV3):
    """A moving average of a network's parameters and buffers, on the network's device. Arguments: timm's."""

    _found: tuple[nn.Module, list[torch.Tensor], list[torch.Tensor]] | None = None

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        """Moves every average towards the network's value by `1 - decay`; copies what is not floating-point."""
        if self._found is None or self._found[0] is not model:  # the search takes longer than the averaging
            self._found = (model, _tensors(self.module), _tensors(model))
        _, averages, values = self._found
        pairs = list(zip(averages, values, strict=True))
        moved = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in moved], [v for _, v in moved], weight=1 - decay)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    """Returns the parameters and buffers, each once."""
    return [tensor.detach() for tensor in chain(network.parameters(), network.buffers())]

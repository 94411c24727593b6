"""The moving average: each weight once a step, whatever names a network gives it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ctcore.nnunet.training.moving_average import MovingAverage


class Named(nn.Module):
    """A weight under two names, a buffer and a count."""

    mean: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 1, bias=False)
        self.second = self.first
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("count", torch.tensor(0))

    def set_to(self, value: float) -> None:
        with torch.no_grad():
            for tensor in (self.first.weight, self.mean, self.count):
                tensor.fill_(value)


def made(value: float) -> Named:
    network = Named()
    network.set_to(value)
    return network


def values(average: MovingAverage) -> list[float]:
    module = average.module
    assert isinstance(module, Named)
    return [tensor.item() for tensor in (module.first.weight, module.second.weight, module.mean, module.count)]


def test_by_hand() -> None:
    network = made(0)
    average = MovingAverage(network, decay=0.75)
    network.set_to(4)
    average.update(network)
    assert values(average) == pytest.approx([1, 1, 1, 4])
    network.set_to(9)
    average.update(network)
    assert values(average) == pytest.approx([3, 3, 3, 9])


def test_another_network_and_loaded_weights_are_followed() -> None:
    network = made(0)
    average = MovingAverage(network, decay=0.75)
    average.update(network)
    average.update(made(4))
    assert values(average) == pytest.approx([1, 1, 1, 4])
    average.module.load_state_dict(made(2).state_dict())
    network.load_state_dict(made(6).state_dict())
    average.update(network)
    assert values(average) == pytest.approx([3, 3, 3, 6])


def test_the_first_steps_follow_the_network() -> None:
    network = made(0)
    average = MovingAverage(network, decay=0.998, use_warmup=True)
    network.set_to(8)
    average.update(network, step=1)
    assert values(average) == pytest.approx([8, 8, 8, 8])
    network.set_to(0)
    average.update(network, step=2)  # timm's rate: 1 - 2 ** (-2 / 3)
    assert values(average)[0] == pytest.approx(8 * (1 - 2 ** (-2 / 3)))

"""`pipeline run` with networks that round as bfloat16 does: `python -m benchmarks.rounded_bf16 run --input ...`.

A processor that multiplies bfloat16 numbers takes its factors in them and adds their products up in float32. Here every
layer's input, weights and output are rounded to bfloat16 and multiplied in float32, which says on any machine how
answers differ, and nothing about the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import torch

    from ctcore.inference.backends.backend import Backend
    from ctcore.inference.backends.choose import Execution
    from ctcore.inference.backends.stored_network import StoredNetwork


def round_as_bf16(network: torch.nn.Module) -> torch.nn.Module:
    """Lets every layer of a network take in and give out float32 numbers that bfloat16 can hold; returns the network.

    Weights are rounded for good; those of normalisation, which no matrix product sees, are not.
    """
    import torch

    for layer in network.modules():
        if any(True for _ in layer.children()):
            continue
        layer.register_forward_pre_hook(lambda _layer, inputs: tuple(map(rounded, inputs)))
        layer.register_forward_hook(lambda _layer, _inputs, output: rounded(output))
        if isinstance(layer, torch.nn.Conv3d | torch.nn.ConvTranspose3d | torch.nn.Linear):
            layer.weight.data = rounded(layer.weight.data)
    return network


def rounded(value: Any) -> Any:
    """Returns a tensor as float32 numbers that bfloat16 can hold, anything else as it is."""
    import torch

    return value.to(torch.bfloat16).to(torch.float32) if isinstance(value, torch.Tensor) else value


def make_rounded(network: torch.nn.Module | StoredNetwork, _execution: Execution) -> Backend:
    """Makes a network ready to compute on the CPU with PyTorch; see `ctcore.inference.backends.choose.make_backend`."""
    from ctcore.inference.backends.stored_network import StoredNetwork
    from ctcore.inference.backends.torch_backend import TorchBackend

    return TorchBackend(round_as_bf16(network.build() if isinstance(network, StoredNetwork) else network))


def main() -> None:
    """Runs the pipeline's command line."""
    from pipeline.cli import main as pipeline_main

    with patch("ctcore.inference.backends.choose.make_backend", make_rounded):
        pipeline_main()


if __name__ == "__main__":
    main()

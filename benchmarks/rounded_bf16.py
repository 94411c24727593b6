"""`pipeline run` in bf16 on any processor: `python -m benchmarks.rounded_bf16 run --precision bf16 --input ...`.

A processor that multiplies bfloat16 numbers takes its factors in them and adds their products up in float32. Here every
layer's input, weights and output are rounded to bfloat16 and multiplied in float32, which says on any machine how
answers differ, and nothing about the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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


def make_rounded(
    network: torch.nn.Module | StoredNetwork, execution: Execution, make_backend: Callable[..., Backend]
) -> Backend:
    """Makes a network ready to compute on the CPU; see `ctcore.inference.backends.choose.make_backend`.

    Where bf16 is asked for, PyTorch computes and rounds; elsewhere the given `make_backend` is called.
    """
    from ctcore.inference.backends.stored_network import StoredNetwork
    from ctcore.inference.backends.torch_backend import TorchBackend

    if execution.precision != "bf16":
        return make_backend(network, execution)
    return TorchBackend(round_as_bf16(network.build() if isinstance(network, StoredNetwork) else network))


def main() -> None:
    """Runs the pipeline's command line."""
    from ctcore.inference.backends import choose
    from pipeline.cli import main as pipeline_main

    made = partial(make_rounded, make_backend=choose.make_backend)
    with patch.object(choose, "cpu_has_bf16", lambda: True), patch.object(choose, "make_backend", made):
        pipeline_main()


if __name__ == "__main__":
    main()

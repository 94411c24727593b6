"""What Winograd's convolutions bring: `python -m benchmarks.winograd [--plans PLANS]`.

Single layers of PANORAMA's stage 2, and with its plans one window of the whole network (random weights), computed by
OpenVINO in float32 plainly and by `ctcore.inference.backends.winograd`, turn and turn about; the best of each. Errors
are of a layer's result, about 1 in size, against float64. Prints a table.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from ctcore.inference.backends import openvino_backend
from ctcore.inference.backends.openvino_backend import import_openvino, openvino_core
from ctcore.inference.backends.winograd import with_winograd

LAYERS = ((64, 64, (48, 64, 144)), (128, 64, (48, 64, 144)), (256, 128, (24, 32, 72)))
"""Channels in and out, voxels (z, y, x)."""
KERNEL = 3
ROUNDS = 5
PROPERTIES = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
CORNER = 8
"""Planes of a layer's result, from its start, that are compared with float64."""

Floats = npt.NDArray[np.float32]


def measure_layer(channels: int, out: int, shape: tuple[int, int, int], rounds: int = ROUNDS) -> dict[str, float]:
    """Returns seconds and errors (`plain`, `winograd`) of one padded convolution of 3 x 3 x 3."""
    rng = np.random.default_rng(0)
    size = np.float32(np.sqrt(channels * KERNEL**3))
    kernel = rng.standard_normal((out, channels, KERNEL, KERNEL, KERNEL), dtype=np.float32) / size
    features = rng.standard_normal((1, channels, *shape), dtype=np.float32)
    plain, faster = _layer(kernel, shape), _layer(kernel, shape)
    if with_winograd(faster) != 1:
        raise ValueError(f"a layer of {channels} -> {out} channels and {shape} voxels is not computed so")
    calls = [_request(model, features) for model in (plain, faster)]
    seconds = _turns(calls, rounds)
    exact = _exact(features, kernel)
    part = (slice(None), slice(None), slice(exact.shape[2]))
    errors = [float(np.abs(call()[part] - exact).max()) for call in calls]
    return dict(zip(("plain", "winograd", "plain_error", "winograd_error"), (*seconds, *errors), strict=True))


def measure_window(plans: Path, rounds: int = ROUNDS) -> dict[str, float]:
    """Returns seconds of one window of stage 2's segmenting network: `plain`, `winograd`."""
    from benchmarks.nnunet_parity import segmentation_network
    from benchmarks.panorama_networks import make_models
    from ctcore.nnunet.exported import load_model
    from stage2_multitask.model import MultiTaskModel

    with tempfile.TemporaryDirectory() as folder:
        make_models(plans, Path(folder))
        stage2 = Path(folder) / "exported2"
        model = load_model(stage2, MultiTaskModel)
        network = segmentation_network(stage2, model)
    window = np.random.default_rng(0).standard_normal((1, 1, *model.patch_size), dtype=np.float32)
    calls = [_whole(network, faster, window) for faster in (False, True)]
    seconds = _turns(calls, rounds)
    return dict(zip(("plain", "winograd"), seconds, strict=True))


def _whole(network: Any, faster: bool, window: Floats) -> Callable[[], Any]:
    with patch.object(openvino_backend, "spares_time", return_value=faster):
        backend = openvino_backend.OpenVinoBackend(network, "fp32")
    return lambda: backend(window)


def _layer(kernel: Floats, shape: tuple[int, int, int]) -> Any:
    """Returns a network of one layer and its activation."""
    operations: Any = importlib.import_module("openvino.opset13")
    features = operations.parameter([1, kernel.shape[1], *shape], np.float32)
    ones = [1, 1, 1]
    convolved = operations.convolution(features, operations.constant(kernel), ones, ones, ones, ones)
    return import_openvino().Model([operations.relu(convolved)], [features])


def _request(model: Any, features: Floats) -> Callable[[], Floats]:
    request = openvino_core().compile_model(model, "CPU", PROPERTIES).create_infer_request()

    def call() -> Floats:
        result: Floats = request.infer({0: features}, share_inputs=True, share_outputs=True)[0]
        return result

    return call


def _turns(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Returns the least seconds of each, called in turn."""
    best = [float("inf")] * len(calls)
    for turn in range(rounds + 1):
        for index, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            if turn:  # the first allocates, and compiles where that was not done
                best[index] = min(best[index], time.perf_counter() - begin)
    return best


def _exact(features: Floats, kernel: Floats) -> npt.NDArray[np.float64]:
    """Returns a layer's first planes in float64."""
    import torch

    first = torch.from_numpy(features[:, :, : CORNER + 1]).double()
    convolved = torch.nn.functional.conv3d(first, torch.from_numpy(kernel).double(), padding=1)
    result: npt.NDArray[np.float64] = convolved.relu()[:, :, :CORNER].numpy()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.winograd", description=__doc__)
    parser.add_argument("--plans", type=Path, help="PANORAMA's plans and dataset files: a whole window, too")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each (default: {ROUNDS})")
    options = parser.parse_args(arguments)
    print("| layer | plain (s) | Winograd (s) | times as fast | error plain | error Winograd |")
    print("|---|---|---|---|---|---|")
    for channels, out, shape in LAYERS:
        row = measure_layer(channels, out, shape, options.rounds)
        name = f"{channels} -> {out}, {' x '.join(map(str, shape))}"
        times = f"{row['plain']:.3f} | {row['winograd']:.3f} | {row['plain'] / row['winograd']:.2f}"
        print(f"| {name} | {times} | {row['plain_error']:.0e} | {row['winograd_error']:.0e} |", flush=True)
    if options.plans is not None:
        row = measure_window(options.plans, options.rounds)
        times = f"{row['plain']:.2f} | {row['winograd']:.2f} | {row['plain'] / row['winograd']:.2f}"
        print(f"| window of stage 2 | {times} | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

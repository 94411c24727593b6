"""Slices computed several at once beside one at a time: `python -m benchmarks.slices [--device cuda]`.

A 2-D residual U-Net of the slice-ensemble report's size (nnU-Net's ResEnc M, patch 128 x 192) computes the same slices
in batches of different lengths, turn and turn about in one process, as inference would on the device. Prints the bound
beside its figure and, as its last line, all figures as one JSON object. Exit code: 0 bound reached, 1 missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.bounds import Bound, print_bounds, print_figures

PATCH = (1, 128, 192)
FEATURES = (32, 64, 128, 256, 512, 512)
BLOCKS = (1, 3, 4, 6, 6, 6)
MAX_RATIO = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    from ctcore.inference.batches import windows_at_once

    parser = argparse.ArgumentParser(prog="python -m benchmarks.slices", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--backend", default="auto", help="auto, torch or openvino (default: auto)")
    parser.add_argument("--rounds", type=int, default=5, help="times that all slices are computed (default: 5)")
    options = parser.parse_args(arguments)

    chosen = windows_at_once(PATCH)
    lengths = sorted({1, 2, 4, 8, 16, chosen})
    backend = make_network(options.device, options.backend)
    seconds = measure(backend, lengths, options.rounds)
    medians = {length: statistics.median(values) for length, values in seconds.items()}
    name = f"seconds a slice, {chosen} at once, against 1"
    bounds = [Bound("slices", name, medians[chosen] / medians[1], "at most", MAX_RATIO)]
    print_bounds(bounds)
    figures = [(f"milliseconds a slice, {length} at once", 1e3 * value) for length, value in medians.items()]
    print_figures(f"{backend.name}, {backend.precision}, slices of {PATCH[1]} x {PATCH[2]}", figures)
    document: dict[str, Any] = {"bounds": [bound.as_dict() for bound in bounds], "seconds_a_slice": medians}
    print(json.dumps(document | {"backend": backend.name, "precision": backend.precision}))
    return 0 if all(bound.reached for bound in bounds) else 1


def make_network(device: str, backend: str) -> Any:
    """Returns the network, with random weights, ready to compute."""
    from ctcore.inference.backends.choose import make_backend, resolve
    from ctcore.inference.slices import for_windows
    from ctcore.nnunet.networks import build_unet
    from ctcore.nnunet.planning.architecture import describe_unet, topology_of

    topology = topology_of((3.0, 0.8, 0.8), PATCH, FEATURES)
    network = build_unet(describe_unet("resenc", topology, FEATURES, BLOCKS), 1, 7).eval()
    return make_backend(for_windows(network, PATCH), resolve(device, backend))


def measure(backend: Any, lengths: Sequence[int], rounds: int) -> dict[int, list[float]]:
    """Returns the seconds a slice of each round, by the length of the batch; who begins changes from round to round."""
    slices = np.random.default_rng(0).standard_normal((max(lengths), 1, *PATCH)).astype(np.float32)
    for length in lengths:
        backend(slices[:length])  # compiles
    seconds: dict[int, list[float]] = {length: [] for length in lengths}
    for number in range(rounds):
        turn = number % len(lengths)
        for length in (*lengths[turn:], *lengths[:turn]):
            begin = time.perf_counter()
            for first in range(0, len(slices), length):
                backend(slices[first : first + length])
            seconds[length].append((time.perf_counter() - begin) / len(slices))
    return seconds


if __name__ == "__main__":
    sys.exit(main())

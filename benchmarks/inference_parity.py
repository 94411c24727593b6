"""Are the fast answers the same? `python -m benchmarks.inference_parity --plans DIR --output DIR`.

With random weights of PANORAMA's network and with trained weights (the shipped bundle, on phantoms): exact windows in
float32 beside nnU-Net's predictor, and beside the windows of its network blended in double precision. With the trained
ones: other precisions and anatomy-guided windows beside exact windows in float32. Prints every bound beside its figure
and, as its last line, all figures as one JSON object. Exit code: 0 all bounds reached, 1 some missed, 2 the request was
wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds, print_figures
from benchmarks.clinical_ct import AIR_HU, NOISE_HU, TISSUE_HU
from benchmarks.nnunet_parity import PERCENTILE, measure_parity
from benchmarks.panorama_networks import make_models
from benchmarks.trained_parity import measure_trained
from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.json_files import write_json

RANDOM, TRAINED = "random", "trained"
PARTS = (RANDOM, TRAINED)

MOST_DIFFERENCE = 1e-4
MOST_PERCENTILE = 2e-3
LEAST_DICE = 0.999

IMAGE_IN_WINDOWS = (1.25, 1.25, 1.0)
"""Size (z, y, x) of the image that random weights see, in windows: four windows, which overlap."""

Measured = tuple[dict[str, Any], list[Bound]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_parity", description=__doc__)
    parser.add_argument("--plans", type=Path, help=f"folder with PANORAMA's plans; without it, no part '{RANDOM}'")
    parser.add_argument("--output", type=Path, required=True, help="work folder; phantoms that lie there are kept")
    parser.add_argument("--parts", help=f"of {','.join(PARTS)} (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--backend", default="auto", help="auto, torch or openvino, beside nnU-Net (default: auto)")
    parser.add_argument("--bundle", type=Path, help="trained bundle (default: the one that comes with the package)")
    parser.add_argument("--cases", type=int, default=120, help="phantoms (default: 120)")
    parser.add_argument("--workers", type=int, default=2, help="processes that render phantoms (default: 2)")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    bounds: list[Bound] = []
    try:
        for part in _parts(options.parts, options.plans):
            if part == RANDOM:
                models = make_models(options.plans, options.output / "models")
                figures[part], reached = measure_random(models.bundle / "stage2", options.device, options.backend)
            else:
                figures[part], reached = _trained(options)
            bounds += reached
            print_figures(part, [(name.replace("_", " "), value) for name, value in figures[part].items()])
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    print_bounds(bounds)
    reached_all = all(bound.reached for bound in bounds)
    summary = {"parts": figures, "bounds": [bound.as_dict() for bound in bounds], "reached": reached_all}
    write_json(options.output / "inference_parity.json", summary)
    print(json.dumps(summary))
    return 0 if reached_all else 1


def _parts(asked: str | None, plans: Path | None) -> tuple[str, ...]:
    """Returns the parts to measure.

    Raises:
        RequestError: one is unknown, or lacks its plans.
    """
    if asked is None:
        return PARTS if plans is not None else (TRAINED,)
    parts = tuple(part.strip() for part in asked.split(","))
    for part in parts:
        if part not in PARTS:
            raise RequestError(f"part '{part}' is unknown; choose of {', '.join(PARTS)}")
    if RANDOM in parts and plans is None:
        raise RequestError(f"part '{RANDOM}' needs --plans")
    return parts


def _trained(options: argparse.Namespace) -> Measured:
    folder = options.output / TRAINED
    place = options.device, options.backend
    figures, bounds = measure_trained(folder, options.bundle, options.cases, options.workers, *place)
    percentile, dice = figures["percentile_softmax_difference_nnunet"], figures["dice_nnunet"]
    return figures, [
        *same_windows_bound(TRAINED, figures),
        Bound(TRAINED, f"softmax, {PERCENTILE}th percentile, nnU-Net", percentile, "at most", MOST_PERCENTILE),
        Bound(TRAINED, "Dice of the labels, nnU-Net", dice, "at least", LEAST_DICE),
        *bounds,
    ]


def measure_random(stage2: Path, device: str, backend: str = "auto") -> Measured:
    """Compares exact windows of random weights.

    Only the blending is held to a bound: nnU-Net's float16 moves logits at the image's edges by some per cent, which
    shows where a network is unsure, as one with random weights is everywhere.

    Args:
        stage2: exported stage-2 folder.
        device: `cpu` or `cuda`.
        backend: this project's: `auto`, `torch` or `openvino`.
    """
    figures = measure_parity(stage2, [made_image(stage2)], device, backend)
    return figures, same_windows_bound(RANDOM, figures)


def same_windows_bound(part: str, figures: dict[str, Any]) -> list[Bound]:
    """Returns the bound on the difference from nnU-Net's windows blended in double precision."""
    difference = figures["max_softmax_difference"]
    return [Bound(part, "softmax, largest difference, same windows", difference, "at most", MOST_DIFFERENCE)]


def made_image(stage2: Path) -> npt.NDArray[np.float32]:
    """Returns a normalised image (1, z, y, x) for a network: a soft-edged body with structure and noise."""
    from ctcore.nnunet.exported import load_model
    from stage2_multitask.model import MultiTaskModel

    model = load_model(stage2, MultiTaskModel)
    shape = [int(length * share) for length, share in zip(model.patch_size, IMAGE_IN_WINDOWS, strict=True)]
    z, y, x = np.ogrid[tuple(slice(-1, 1, 1j * length) for length in shape)]
    body = 1 / (1 + np.exp(20 * (np.sqrt((z / 1.4) ** 2 + (y / 0.8) ** 2 + (x / 0.9) ** 2) - 1)))
    noise = np.random.default_rng(0).normal(0, NOISE_HU, shape)
    hounsfield = AIR_HU + (TISSUE_HU - AIR_HU) * body + 60 * np.sin(9 * z + 7 * y * x) + noise
    return model.normalization.apply(hounsfield)[None]


if __name__ == "__main__":
    sys.exit(main())

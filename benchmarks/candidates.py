"""Lesion candidates against report-guided-annotation: `python -m benchmarks.candidates`.

Counts on how many crafted softmax volumes our answer is the package's for the whole volume, and measures the ratio of
its time to ours on volumes as large as the median ROI. Prints every bound beside its figure and, as its last line, all
figures as one JSON object. Exit code: 0 all bounds reached, 1 some missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds, print_figures
from ctcore.console import progress
from ctcore.detection.candidates import CandidateMap, CandidateMode, CandidateSettings, extract_candidates

MODES: tuple[CandidateMode, ...] = get_args(CandidateMode)
SEED = 20
LEAST_VOLUMES = 500
SPEED_BOUNDS: dict[CandidateMode, float | None] = {"dynamic": 20.0, "dynamic-fast": 4.0, "dynamic-v2": None}
"""Least ratio of the package's time to ours; None where it is only printed."""

ROI_SHAPE = (65, 232, 428)
"""Median ROI of PANORAMA's training set at 1.5 x 0.747 x 0.747 mm."""
ROI_SPACING = (1.5, 0.747, 0.747)
BLOBS = 12

Floats = npt.NDArray[np.float32]
Answer = tuple[npt.NDArray[np.int_], tuple[float, ...]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.candidates", description=__doc__)
    parser.add_argument("--volumes", type=int, default=504, help="crafted volumes of every mode (default: 504)")
    parser.add_argument("--repetitions", type=int, default=5, help="ROI-size volumes of every mode (default: 5)")
    options = parser.parse_args(arguments)
    identical, bounds = measure_identity(options.volumes)
    speed, more = measure_speed(options.repetitions)
    print_figures(
        "identical to the package",
        [
            (mode, f"{figures['identical']} of {figures['volumes']} volumes, {figures['candidates']} candidates")
            for mode, figures in identical.items()
        ],
    )
    print_figures(
        f"speed, {'x'.join(map(str, ROI_SHAPE))}, {BLOBS} blobs",
        [
            (mode, f"{figures['package_seconds']:.2f} s / {figures['our_seconds']:.3f} s = {figures['ratio']:.1f}")
            for mode, figures in speed.items()
        ],
    )
    bounds += more
    print_bounds(bounds)
    summary = {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "identical": identical,
        "speed": speed,
        "bounds": [bound.as_dict() for bound in bounds],
        "reached": all(bound.reached for bound in bounds),
    }
    print(json.dumps(summary))
    return 0 if summary["reached"] else 1


def measure_identity(volumes: int) -> tuple[dict[str, Any], list[Bound]]:
    """Counts, in every mode, on how many crafted volumes the answer is the package's; all kinds come equally often."""
    figures: dict[str, Any] = {}
    with progress("crafted volumes") as report:
        for place, mode in enumerate(MODES):
            rng = np.random.default_rng((SEED, place))
            identical, candidates = 0, 0
            different: list[str] = []
            for index in range(volumes):
                kind, craft = list(KINDS.items())[index % len(KINDS)]
                probability, settings = craft(rng), _random_settings(rng, mode)
                ours = extract_candidates(probability, settings)
                if _equal(ours, _sorted(package_answer(probability, settings), settings)):
                    identical += 1
                    candidates += len(ours.confidences)
                else:
                    different.append(f"{kind} {index}")
                report(place * volumes + index + 1, volumes * len(MODES))
            figures[mode] = {
                "volumes": volumes,
                "identical": identical,
                "candidates": candidates,
                "different": different,
            }
    return figures, [
        Bound("identical", f"{mode}, volumes", f["identical"], "at least", max(volumes, LEAST_VOLUMES))
        for mode, f in figures.items()
    ]


def measure_speed(repetitions: int) -> tuple[dict[str, Any], list[Bound]]:
    """Measures the ratio of the package's time to ours, the two in turn on every volume."""
    times: dict[CandidateMode, list[tuple[float, float]]] = {mode: [] for mode in SPEED_BOUNDS}
    extract_candidates(blobs((4, 5, 6), 1, np.random.default_rng(0)), CandidateSettings())  # imports
    with progress("ROI-size volumes") as report:
        for index in range(repetitions):
            probability = blobs(ROI_SHAPE, BLOBS, np.random.default_rng((SEED, index)), ROI_SPACING)
            for place, (mode, measured) in enumerate(times.items(), start=1):
                settings = CandidateSettings(mode=mode, min_confidence=0.0)
                begin = time.perf_counter()
                theirs = package_answer(probability, settings)
                between = time.perf_counter()
                ours = extract_candidates(probability, settings)
                end = time.perf_counter()
                if not _equal(ours, _sorted(theirs, settings)):
                    raise AssertionError(f"mode '{mode}' differs on ROI-size volume {index}: the times mean nothing")
                measured.append((between - begin, end - between))
                report(index * len(times) + place, repetitions * len(times))
    figures = {}
    for mode, measured in times.items():
        theirs_seconds, our_seconds = np.median(measured, axis=0).tolist()
        figures[str(mode)] = {
            "package_seconds": theirs_seconds,
            "our_seconds": our_seconds,
            "ratio": float(np.median([theirs / ours for theirs, ours in measured])),
            "repetitions": repetitions,
        }
    return figures, [
        Bound("speed", f"{mode}, package's time over ours", figures[mode]["ratio"], "at least", limit)
        for mode, limit in SPEED_BOUNDS.items()
        if limit is not None
    ]


def package_answer(
    probability: Floats, settings: CandidateSettings
) -> tuple[list[tuple[int, float]], npt.NDArray[Any]]:
    """Returns the package's confidences by index, and its indices, for the whole volume."""
    with contextlib.redirect_stdout(io.StringIO()):  # the citation notice
        from report_guided_annotation import extract_lesion_candidates

    _, confidences, indices = extract_lesion_candidates(
        cast(Any, probability),  # its hint says float64; it works in the array's own type
        threshold=settings.mode if settings.fixed_threshold is None else settings.fixed_threshold,
        min_voxels_detection=settings.min_voxels,
        num_lesions_to_extract=settings.num_lesions_to_extract,
        dynamic_threshold_factor=settings.dynamic_threshold_factor,
        remove_adjacent_lesion_candidates=settings.remove_adjacent_candidates,
    )
    return confidences, indices


def _sorted(answer: tuple[list[tuple[int, float]], npt.NDArray[Any]], settings: CandidateSettings) -> Answer:
    """Returns the package's answer by falling confidence, less its entries of confidence 0 and those too weak."""
    confidences, indices = answer
    for index, confidence in confidences:
        if confidence == 0:  # it covers the volume, added to the others' indices
            indices = indices - index
    wanted = [(i, float(c)) for i, c in confidences if c > 0 and c >= settings.min_confidence]
    wanted.sort(key=lambda candidate: -candidate[1])
    labels = np.zeros(indices.shape, dtype=int)
    for number, (index, _) in enumerate(wanted, start=1):
        labels[indices == index] = number
    return labels, tuple(confidence for _, confidence in wanted)


def _equal(ours: CandidateMap, theirs: Answer) -> bool:
    labels, confidences = theirs
    return ours.confidences == confidences and bool(np.array_equal(ours.labels, labels))


def _random_settings(rng: np.random.Generator, mode: CandidateMode) -> CandidateSettings:
    return CandidateSettings(
        mode=mode,
        fixed_threshold=float(rng.choice([0, 0.05, 0.1, 0.375, 0.5])) if mode == "fixed" else None,
        dynamic_threshold_factor=float(rng.choice([1.5, 2.5, 15])),
        min_voxels=int(rng.choice([0, 3, 10])),
        num_lesions_to_extract=int(rng.choice([1, 3, 5, 20])),
        remove_adjacent_candidates=bool(rng.random() < 0.6),
        min_confidence=float(rng.choice([0, 0, 0.05, 0.3])),
    )


def softmax_of(logits: npt.NDArray[np.float64]) -> Floats:
    """Returns the float32 probability of the last of (k, z, y, x) logits, as a network would give it."""
    exponentials = np.exp((logits - logits.max(axis=0)).astype(np.float32))
    return np.asarray(exponentials[-1] / exponentials.sum(axis=0), dtype=np.float32)


def blobs(
    shape: tuple[int, int, int],
    count: int,
    rng: np.random.Generator,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Floats:
    """Returns a softmax of `count` round blobs of 3 to 12 mm on a low noise; their centres lie anywhere."""
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    lesion = np.full(shape, -9.0)
    for _ in range(count):
        centre = rng.integers(0, shape)
        radius = rng.uniform(3, 12)
        squared = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True))
        lesion = np.maximum(lesion, rng.uniform(-1, 4) + 9 * (1 - np.sqrt(squared) / radius).clip(-2, 0))
    noise = rng.normal(0, 0.5, (2, *shape))
    return softmax_of(np.stack([noise[0], lesion + noise[1]]))


def _shape(rng: np.random.Generator, low: int = 8, high: int = 20) -> tuple[int, int, int]:
    z, y, x = (int(n) for n in rng.integers(low, high, 3))
    return z, y, x


def _smooth(rng: np.random.Generator) -> Floats:
    from scipy import ndimage

    logits = ndimage.gaussian_filter(rng.normal(0, 1, (3, *_shape(rng))), (0, 1.5, 1.5, 1.5))
    return softmax_of(logits * rng.uniform(5, 60))


def _plateaus(rng: np.random.Generator) -> Floats:
    levels = int(rng.integers(2, 9))
    return np.asarray(np.round(_smooth(rng) * levels) / levels, dtype=np.float32)


def _ties(rng: np.random.Generator) -> Floats:
    tile = _smooth(rng)
    axis = int(rng.integers(3))
    gap = np.zeros_like(np.take(tile, [0], axis=axis))
    return np.concatenate([tile, gap, tile[:, :, ::-1], gap, tile], axis=axis)  # equal peaks, equal and near means


def _specks(rng: np.random.Generator) -> Floats:
    probability = blobs(_shape(rng), 2, rng) * np.float32(rng.uniform(0.2, 1))
    specks = rng.random(probability.shape) < 0.01
    return np.asarray(np.where(specks, np.float32(rng.uniform(0.5, 1)), probability), dtype=np.float32)


def _touching(rng: np.random.Generator) -> Floats:
    """Boxes side by side, edge to edge and corner to corner, each some step weaker than the last."""
    probability = np.zeros(_shape(rng, 12), dtype=np.float32)
    corner, level = np.zeros(3, dtype=int), rng.uniform(0.5, 1)
    while (corner < probability.shape).all() and level > 0.005:
        z, y, x = (slice(int(c), int(c + 4)) for c in corner)
        probability[z, y, x] = np.float32(level)
        corner = corner + 4 * rng.permutation([1, *rng.integers(0, 2, 2)])
        level *= rng.choice([1.0, 0.5, 0.39])
    return probability


def _border(rng: np.random.Generator) -> Floats:
    probability = blobs(_shape(rng), 6, rng)
    inner = tuple(slice(2, -2) for _ in range(3))
    probability[inner] *= np.float32(0.01)
    return probability


def _flat(rng: np.random.Generator) -> Floats:
    return np.full(_shape(rng, 3), rng.choice([1e-6, 0.005, 0.01, 0.1, 1.0]), dtype=np.float32)


def _empty(rng: np.random.Generator) -> Floats:
    return np.zeros(_shape(rng, 3), dtype=np.float32)


def _tiny(rng: np.random.Generator) -> Floats:
    return np.asarray(rng.choice([0, 0.01, 0.3, 0.9], _shape(rng, 1, 5)), dtype=np.float32)


KINDS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "smooth": _smooth,
    "plateaus": _plateaus,
    "ties": _ties,
    "specks": _specks,
    "touching": _touching,
    "border": _border,
    "flat": _flat,
    "empty": _empty,
    "tiny": _tiny,
}


if __name__ == "__main__":
    sys.exit(main())

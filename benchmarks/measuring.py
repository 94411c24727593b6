"""What measuring a validation case costs beside predicting it: a training does both after every epoch.

    python -m benchmarks.measuring [--cases 12] [--model DIR]

Crops of 60 x 50 x 65 voxels at 3 mm, predicted by a stage-2 network (by default the shipped one) and measured in turn,
so that both meet the same machine. The lesion probabilities that are measured are crafted: a few smooth blobs each, as
a trained network gives them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from ctcore.inference.backends.choose import resolve
from ctcore.labels import PANORAMA_NAMES
from ctcore.volume import Geometry, Volume
from pipeline.bundle import DEMO_BUNDLE
from stage2_multitask.cohort import cohort_figures
from stage2_multitask.measure import CaseTruth, Scoring, measure_prediction
from stage2_multitask.predictor import MultiTaskPredictor

GEOMETRY = Geometry((60, 50, 65), (3.0, 3.0, 3.0))
BLOBS = 4
COHORT = 200


@dataclass(frozen=True, eq=False)
class CraftedPrediction:
    """A prediction that no network made."""

    lesion_probability: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]
    class_probabilities: dict[str, float]
    class_lesion_probabilities: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    fold_probabilities: tuple[dict[str, float], ...] = ()
    features: npt.NDArray[np.float32] | None = None


def crafted(rng: np.random.Generator, number: int) -> tuple[CraftedPrediction, CaseTruth]:
    """Returns a prediction of smooth blobs, of which one lies on the lesion of a positive case, and the truth."""
    grid = np.indices(GEOMETRY.shape, dtype=np.float32)
    probability = np.zeros(GEOMETRY.shape, dtype=np.float32)
    labels = rng.integers(2, 7, GEOMETRY.shape, dtype=np.uint8)
    for blob in range(BLOBS):
        centre = rng.uniform(10, 40, (3, 1, 1, 1)).astype(np.float32)
        squared = ((grid - centre) ** 2).sum(axis=0)
        peak, width = rng.uniform(0.2, 0.95), rng.uniform(2.5, 6)
        probability = np.maximum(probability, peak * np.exp(-squared / (2 * width**2)))
        if blob == 0 and number % 2:
            labels[squared < 6**2] = 1
    segmentation = np.where(probability > 0.5, 1, np.maximum(labels, 2)).astype(np.uint8)
    p = float(rng.uniform(0.05, 0.95))
    name = "PDAC" if number % 2 else "non-PDAC"
    prediction = CraftedPrediction(probability.astype(np.float32), segmentation, {"non-PDAC": 1 - p, "PDAC": p})
    return prediction, CaseTruth(f"case{number}", name, labels, GEOMETRY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=12, help="number of crops")
    parser.add_argument("--model", type=Path, default=DEMO_BUNDLE / "stage2", help="an exported stage-2 folder")
    options = parser.parse_args(arguments)
    predictor = MultiTaskPredictor(options.model, resolve("auto"))
    rng = np.random.default_rng(0)
    predicting, measuring, cases = [], [], []
    for number in range(options.cases + 1):
        crop = Volume(rng.integers(-100, 200, GEOMETRY.shape, dtype=np.int16), GEOMETRY)
        prediction, truth = crafted(rng, number)
        begin = time.perf_counter()
        predictor.predict(crop)
        between = time.perf_counter()
        case, _ = measure_prediction(prediction, truth, PANORAMA_NAMES, ["lesion"], Scoring())
        end = time.perf_counter()
        if number:  # the first one loads and compiles
            predicting.append(between - begin)
            measuring.append(end - between)
            cases.append(case)
    many = [cases[index % len(cases)] for index in range(COHORT)]
    begin = time.perf_counter()
    cohort_figures(many)
    summarising = time.perf_counter() - begin
    ratio = statistics.median(measuring) / statistics.median(predicting)
    part = "measuring"
    bounds = [
        Bound(part, "a crop, slowest seconds", max(measuring), "at most", 0.1),
        Bound(part, "a crop, median, in its prediction's median", ratio, "at most", 0.2),
        Bound(part, f"figures of {COHORT} crops, seconds", summarising, "at most", 0.1),
    ]
    figures = [
        ("predicting a crop, median seconds", statistics.median(predicting)),
        ("measuring a crop, median seconds", statistics.median(measuring)),
        ("crops", len(cases)),
    ]
    print_bounds(bounds)
    print_figures("beside", figures)
    return closing(bounds, **dict(figures))


if __name__ == "__main__":
    sys.exit(main())

"""Whether the classifier's evidence can be believed: does it lie on lesions, and does it go when the network forgets.

    python -m benchmarks.evidence --output work/evidence [--cases 40] [--randomised 10] [--bundle DIR]

Phantoms of seeds that no training has seen, half of them with a carcinoma. Of those with one: how dense the evidence is
inside the true lesion against the rest of the ROI, whether its peak lies there, and what of the log-odds is lost where
the voxels of most evidence are made to look like the gland; for HiResCAM, which `pipeline run --evidence` shows, and
for Grad-CAM. Of the first ones: the map again when weights are replaced by random ones, from the
last layer down (Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018), as Spearman's rank correlation and
structural similarity with the map as it was; and the map of the same network once more, which must be the same. These
are phantoms: nothing is said of patients.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.forgetting import forgotten, likeness, shown
from benchmarks.quality import CLEAN, phantoms
from ctcore.inference.backends.choose import resolve
from ctcore.inference.effort import Effort
from ctcore.labels import PanoramaLabel
from ctcore.volume import Geometry, Volume
from pipeline.bundle import DEMO_BUNDLE, load_bundle
from pipeline.case import CaseResult, process_case
from pipeline.clock import Clock
from pipeline.evidence import explained_class
from pipeline.stages import Stages
from stage1_localizer.localizer import Localizer
from stage2_multitask.evidence import Explainer, Parts, hires_cam
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.running import RunningPrediction

SEED = 0
NEAR_MM = 10.0
"""How far from the lesion a peak may lie that counts as on it: about a voxel of the coarsest level."""
LEAST_SHARE, LEAST_NEAR, MOST_CORRELATION, MOST_SIMILARITY = 0.9, 0.7, 0.5, 0.5
"""Bounds: of lesion cases with denser evidence inside; with the peak near; of likeness to a random network's map."""
LEAST_LOST = 2.0
"""How many times more is lost by blanking by evidence than by blanking anywhere in the pancreas."""

FloatArray = npt.NDArray[np.float32]


def signed_grad_cam(features: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Returns Grad-CAM's evidence before its positive part: channels weighted by their mean gradient; see `Parts`."""
    space = tuple(range(2, gradient.dim()))
    return (features * gradient.mean(dim=space, keepdim=True)).sum(dim=1, keepdim=True)


def grad_cam(features: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Returns Grad-CAM's evidence, of every level the positive part as published for one; see `Parts`."""
    return signed_grad_cam(features, gradient).relu()


METHODS: dict[str, Parts] = {"HiResCAM": hires_cam, "Grad-CAM": grad_cam, "Grad-CAM, signed": signed_grad_cam}
ANYWHERE = "anywhere in the pancreas"
"""What blanking by evidence is compared with."""
BLANKED_ML = 5.0
"""How much of the CT is blanked where the evidence is greatest."""


class Watched(MultiTaskPredictor):
    """Stage 2, of which the last ROI's folds are kept.

    Attributes:
        running: these.
        roi: the ROI itself.
        pancreas: the mask (z, y, x) that was given with it.
    """

    running: RunningPrediction | None = None
    roi: Volume | None = None
    pancreas: npt.NDArray[Any] | None = None

    def begin(
        self, roi: Volume, pancreas: npt.NDArray[Any] | None = None, effort: Effort | None = None
    ) -> RunningPrediction:
        """See `MultiTaskPredictor`."""
        self.roi, self.pancreas = roi, pancreas
        self.running = super().begin(roi, pancreas, effort)
        return self.running

    def log_odds(self, array: npt.NDArray[Any], name: str) -> float:
        """Returns the log-odds of a class, before the temperature, where the last ROI held other values (z, y, x)."""
        if self.roi is None:
            raise ValueError("no case was run")
        running = super().begin(self.roi.with_array(array), self.pancreas)
        while running.folds_left:
            running.add()
        p = running.finish().class_probabilities[name]
        return self.model.temperature * math.log(p / (1 - p))


@dataclass
class Localised:
    """Where the evidence of one method lies in lesion cases: a value a case.

    Attributes:
        ratio: density of what speaks for a lesion inside the true one, against that of the rest of the ROI.
        distance_mm: from the peak to the lesion; 0 inside.
    """

    ratio: list[float] = field(default_factory=list)
    distance_mm: list[float] = field(default_factory=list)

    def add(self, density: FloatArray, lesion: npt.NDArray[np.bool_], geometry: Geometry) -> None:
        """Adds a case; density (z, y, x) and lesion on the ROI's grid."""
        from scipy import ndimage

        positive = np.maximum(density, 0)
        elsewhere = float(positive[~lesion].mean())
        self.ratio.append(float(positive[lesion].mean()) / elsewhere if elsewhere else float("inf"))
        peak = np.unravel_index(int(positive.argmax()), positive.shape)
        away = ndimage.distance_transform_edt(~lesion, sampling=geometry.spacing_zyx)
        self.distance_mm.append(float(away[peak]))

    def figures(self) -> dict[str, float]:
        """Returns shares and medians over the cases."""
        return {
            "denser inside the lesion (share of cases)": _share(ratio > 1 for ratio in self.ratio),
            "density inside against outside, median": statistics.median(self.ratio),
            "peak inside the lesion (share of cases)": _share(mm == 0 for mm in self.distance_mm),
            f"peak within {NEAR_MM:.0f} mm (share of cases)": _share(mm <= NEAR_MM for mm in self.distance_mm),
        }


def _share(hits: Iterable[bool]) -> float:
    counted = list(hits)
    return sum(counted) / len(counted)


@dataclass
class Measured:
    """All that is measured, a value a case.

    Attributes:
        localised: by method, where the evidence lies.
        left: by what is random, the likeness of the map to that of the network as it was.
        again: whether the same network gave the same map.
        inside_candidate: share of the evidence in the most confident candidate.
        lost: by method, log-odds lost with the voxels of most evidence.
        predict_seconds: of running the network.
        explain_seconds: of its evidence.
    """

    localised: dict[str, Localised] = field(default_factory=lambda: {name: Localised() for name in METHODS})
    left: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    again: list[bool] = field(default_factory=list)
    inside_candidate: list[float] = field(default_factory=list)
    lost: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*METHODS, ANYWHERE)})
    predict_seconds: list[float] = field(default_factory=list)
    explain_seconds: list[float] = field(default_factory=list)


class Bench:
    """Measures phantoms with a bundle.

    Args:
        bundle: its folder.
        randomised: how many cases the network forgets on.
    """

    def __init__(self, bundle: Path, randomised: int) -> None:
        self._bundle = load_bundle(bundle)
        execution = resolve("cpu")
        self._watched = Watched(self._bundle.stage2, execution, windows="guided", evidence=True)
        if self._watched.explainer is None:
            raise ValueError("stage 2 was loaded without evidence")
        self._explainer: Explainer = self._watched.explainer
        self._stages = Stages(Localizer(self._bundle.stage1, execution), self._watched)
        self._lesion_classes = self._bundle.manifest.lesion_classes
        self._left = randomised
        self.measured = Measured()

    def add(self, ct: Volume, labels: Volume) -> None:
        """Measures a case, both volumes in LPS order."""
        clock, measured = Clock(), self.measured
        result = process_case(ct, self._stages, self._bundle, clock, evidence=True)
        if result.evidence is None:
            raise ValueError("a case could not be explained")
        measured.predict_seconds.append(clock.seconds["predict"])
        measured.explain_seconds.append(clock.seconds["explain"])
        lesion = labels.array[result.box.slices] == PanoramaLabel.LESION
        geometry = Geometry(result.box.shape, ct.geometry.spacing)
        if lesion.any():
            densities = {name: self._density(result, parts) for name, parts in METHODS.items()}
            for name, density in densities.items():
                measured.localised[name].add(density, lesion, geometry)
            self._blank(result, densities, geometry)
            if result.candidates and result.evidence.record.candidate_share is not None:
                measured.inside_candidate.append(result.evidence.record.candidate_share)
        if self._left:
            self._left -= 1
            self._forget(result)

    def _density(self, result: CaseResult, parts: Parts = hires_cam) -> FloatArray:
        """Returns the evidence of the last case (z, y, x) on its ROI."""
        if self._watched.running is None:
            raise ValueError("no case was run")
        self._explainer.parts = parts
        name = explained_class(result.classes, self._lesion_classes)
        density = self._watched.running.evidence(name, result.classes)
        self._explainer.parts = hires_cam
        return density

    def _blank(self, result: CaseResult, densities: dict[str, FloatArray], geometry: Geometry) -> None:
        """Measures what the class loses where the voxels of most evidence look like the gland."""
        ct, name = result.ct.array[result.box.slices], explained_class(result.classes, self._lesion_classes)
        gland = result.pancreas != 0
        if not gland.any():
            return
        number = round(BLANKED_ML / geometry.voxel_volume_ml)
        chance = np.random.default_rng(SEED).random(ct.shape, np.float32)
        before = self._watched.log_odds(ct, name)
        for method, values in {**densities, ANYWHERE: np.where(gland, chance, 0)}.items():
            changed = ct.copy()
            changed.flat[np.argpartition(values, -number, axis=None)[-number:]] = np.median(ct[gland])
            self.measured.lost[method].append(before - self._watched.log_odds(changed, name))

    def _forget(self, result: CaseResult) -> None:
        """Compares the map of the last case with those of networks that have forgotten."""
        networks = list(self._explainer.networks)
        original = self._density(result)
        self.measured.again.append(bool(np.array_equal(original, self._density(result))))
        first = len(networks) * len(self.measured.again)  # other random weights for every case and fold
        cascades = [forgotten(network, SEED + first + number) for number, network in enumerate(networks)]
        for steps in zip(*cascades, strict=True):
            self._explainer.networks = [changed for _, changed in steps]
            left = likeness(shown(original), shown(self._density(result)))
            self.measured.left.setdefault(steps[0][0], []).append(left)
        self._explainer.networks = networks


def summary(measured: Measured) -> tuple[dict[str, Any], list[Bound]]:
    """Returns all figures by name, and the bounds."""
    figures: dict[str, Any] = {}
    for name, localised in measured.localised.items():
        figures |= {f"{name}: {what}": value for what, value in localised.figures().items()}
    for name, lost in measured.lost.items():
        figures[f"log-odds lost with the {BLANKED_ML:.0f} ml of most evidence, median: {name}"] = statistics.median(
            lost
        )
    if measured.inside_candidate:
        figures["share inside the main candidate, median"] = statistics.median(measured.inside_candidate)
    for step, values in measured.left.items():
        figures[f"random {step}: rank correlation, median"] = statistics.median(value for value, _ in values)
        figures[f"random {step}: structural similarity, median"] = statistics.median(value for _, value in values)
    figures["seconds: predict, median"] = statistics.median(measured.predict_seconds)
    figures["seconds: explain, median"] = statistics.median(measured.explain_seconds)
    hires = measured.localised["HiResCAM"].figures()
    denser, _, _, near = hires.items()
    correlation, similarity = (
        statistics.median(values[index] for values in measured.left["head, encoder"]) for index in (0, 1)
    )
    bounds = [
        Bound("lesions", denser[0], denser[1], "at least", LEAST_SHARE),
        Bound("lesions", near[0], near[1], "at least", LEAST_NEAR),
        Bound("blanking", "log-odds lost, times those lost anywhere", _times(measured.lost), "at least", LEAST_LOST),
        Bound("sanity", "same network again: same map", all(measured.again), "equal to", True),
        Bound("sanity", "random head and encoder: rank correlation, median", correlation, "at most", MOST_CORRELATION),
        Bound("sanity", "random head and encoder: similarity, median", similarity, "at most", MOST_SIMILARITY),
    ]
    return figures, bounds


def _times(lost: dict[str, list[float]]) -> float | None:
    """Returns how many times more is lost by evidence than anywhere, of medians; None where nothing is."""
    shown, anywhere = (statistics.median(lost[name]) for name in ("HiResCAM", ANYWHERE))
    return shown / anywhere if anywhere > 0 else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; phantoms that lie there are kept")
    parser.add_argument("--cases", type=int, default=40, help="phantoms, half of them with a lesion (default: 40)")
    parser.add_argument("--randomised", type=int, default=10, help="of them, the first, for the sanity checks")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE, help="model bundle (default: the shipped one)")
    options = parser.parse_args(arguments)
    bench = Bench(options.bundle, options.randomised)
    for ct, labels in phantoms(CLEAN, options.cases, options.output):
        bench.add(ct, labels)
    figures, bounds = summary(bench.measured)
    print_figures("the classifier's evidence on phantoms", list(figures.items()))
    print_bounds(bounds)
    return closing(bounds, cases=options.cases, **figures)


if __name__ == "__main__":
    sys.exit(main())

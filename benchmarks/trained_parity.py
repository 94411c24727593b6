"""A trained bundle's faster ways beside its exact one, on phantoms: other precisions, anatomy-guided windows."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound
from benchmarks.cohorts import CohortPlan, make_cohort
from benchmarks.label_dice import foreground_dice
from benchmarks.nnunet_parity import measure_parity
from benchmarks.process import run_pipeline
from ctcore.files import read, read_ct
from ctcore.geometry import Box, crop, to_lps
from ctcore.inference.backends.choose import cpu_has_bf16
from pipeline.bundle import DEMO_BUNDLE

SEED = 9401
NNUNET_CASES = 8
"""Cases that nnU-Net's predictor sees, too: on a CPU it is slow."""
LEAST_DICE = 0.999
MOST_SCORE_DIFFERENCE = 5e-3
LEAST_EQUAL_COUNTS = 0.95
MOST_MEDIAN_SCORE_DIFFERENCE = 0.01
MOST_AUROC_LOSS, MOST_AP_LOSS = 0.005, 0.01

GUIDED = "guided"
ROUNDED = "bf16_rounded"
"""What `benchmarks.rounded_bf16` gives, for processors that multiply no bfloat16 numbers."""


@dataclass(frozen=True)
class Way:
    """One way to run a bundle.

    Attributes:
        name: what figures call it.
        precision: of the networks.
        windows: `exact` or `guided`.
        module: whose command line is run.
    """

    name: str
    precision: str
    windows: str = "exact"
    module: str = "pipeline"

    @property
    def options(self) -> list[str]:
        """What `pipeline run` is told."""
        return ["--precision", self.precision, "--windows", self.windows, "--no-report", "--overwrite"]


def ways_of(device: str) -> list[Way]:
    """Returns the ways beside exact windows in float32: half precision, and guided windows."""
    if device.startswith("cuda"):
        half = Way("fp16", "fp16")
    elif cpu_has_bf16():
        half = Way("bf16", "bf16")
    else:
        half = Way(ROUNDED, "bf16", module=f"{__package__}.rounded_bf16")
    return [half, Way(GUIDED, "fp32", GUIDED)]


def measure_trained(
    folder: Path, bundle: Path | None, cases: int, workers: int, device: str, backend: str = "auto"
) -> tuple[dict[str, Any], list[Bound]]:
    """Renders phantoms and runs a bundle on them in every way.

    Args:
        folder: where phantoms and runs lie; phantoms of the same request are kept.
        bundle: trained bundle; None for the one that comes with the package.
        cases: number of phantoms.
        workers: processes that render.
        device: `cpu` or `cuda`.
        backend: `auto`, `torch` or `openvino`.

    Returns:
        Figures of exact windows beside nnU-Net's predictor and by way, and the bounds on the ways beside theirs.
    """
    cohort = make_cohort(CohortPlan("parity", cases, SEED, None, 0.0, 0.0), folder, workers)
    place = ["--device", device, "--backend", backend]
    exact = _run(Way("exact", "fp32"), cohort, folder, bundle, place)
    figures: dict[str, Any] = {"cases": cases}
    figures |= measure_parity((bundle or DEMO_BUNDLE) / "stage2", roi_images(exact, cohort, bundle), device, backend)
    bounds: list[Bound] = []
    for way in ways_of(device):
        found = compare(exact, _run(way, cohort, folder, bundle, place))
        figures |= {f"{way.name}_{name}": value for name, value in found.items()}
        bounds += guided_bounds(found) if way.name == GUIDED else half_bounds(way.name, found)
    return figures, bounds


@dataclass(frozen=True)
class WayResult:
    """What a way has given.

    Attributes:
        output: the run's output.
        records: every case's record, by case id.
        auroc: area under the ROC curve, None where it is not defined.
        ap: average precision, likewise.
    """

    output: Path
    records: Sequence[dict[str, Any]]
    auroc: float | None
    ap: float | None


def _run(way: Way, cohort: Path, folder: Path, bundle: Path | None, place: Sequence[str]) -> WayResult:
    from ctcore.evaluation.evaluate import evaluate

    output = folder / way.name
    shutil.rmtree(output, ignore_errors=True)
    finished = run_pipeline(cohort / "imagesTr", output, bundle, [*place, *way.options], way.module)
    metrics = evaluate(
        output,
        cohort / "labelsTr",
        folder / f"{way.name}-evaluation",
        case_labels=cohort / "case_labels.csv",
        bootstrap=0,
        page=False,
    )
    return WayResult(output, finished.case_records(), metrics.auroc.value, metrics.ap.value)


def roi_images(exact: WayResult, cohort: Path, bundle: Path | None) -> list[npt.NDArray[np.float32]]:
    """Returns what stage 2's network sees of the first cases, (1, z, y, x) each: the ROI that the run has found."""
    from ctcore.nnunet.exported import load_model
    from ctcore.resample import resample_to_spacing
    from stage2_multitask.model import MultiTaskModel

    model = load_model((bundle or DEMO_BUNDLE) / "stage2", MultiTaskModel)
    images = []
    for record in exact.records[:NNUNET_CASES]:
        box = Box(tuple(record["roi"]["start"]), tuple(record["roi"]["stop"]))
        roi, _ = to_lps(crop(read_ct(cohort / "imagesTr" / record["image"]), box))
        low = resample_to_spacing(roi, model.spacing_mm)
        images.append(model.normalization.apply(np.rint(low.array))[None])
    return images


def compare(exact: WayResult, other: WayResult) -> dict[str, float | None]:
    """Returns how far a way's answers are from those of the exact one, case by case."""
    pairs = list(zip(exact.records, other.records, strict=True))
    scores = [abs(a["score"] - b["score"]) for a, b in pairs]
    dice = [
        foreground_dice(
            *(read(way.output / "segmentations" / f"{a['case_id']}.nii.gz").array for way in (exact, other))
        )
        for a, _ in pairs
    ]
    return {
        "dice_mean": statistics.fmean(dice),
        "dice_least": min(dice),
        "score_difference_median": statistics.median(scores),
        "score_difference_largest": max(scores),
        "equal_candidate_counts": statistics.fmean(len(a["candidates"]) == len(b["candidates"]) for a, b in pairs),
        "auroc_loss": _loss(exact.auroc, other.auroc),
        "ap_loss": _loss(exact.ap, other.ap),
    }


def half_bounds(way: str, found: dict[str, float | None]) -> list[Bound]:
    """Returns the bounds of a lower precision."""
    largest, counts = found["score_difference_largest"], found["equal_candidate_counts"]
    return [
        Bound(way, "Dice of the segmentations, mean", found["dice_mean"], "at least", LEAST_DICE),
        Bound(way, "difference of the score, largest", largest, "at most", MOST_SCORE_DIFFERENCE),
        Bound(way, "cases with as many candidates", counts, "at least", LEAST_EQUAL_COUNTS),
    ]


def guided_bounds(found: dict[str, float | None]) -> list[Bound]:
    """Returns the bounds of anatomy-guided windows."""
    median = found["score_difference_median"]
    return [
        Bound(GUIDED, "difference of the score, median", median, "at most", MOST_MEDIAN_SCORE_DIFFERENCE),
        Bound(GUIDED, "loss of AUROC", found["auroc_loss"], "at most", MOST_AUROC_LOSS),
        Bound(GUIDED, "loss of AP", found["ap_loss"], "at most", MOST_AP_LOSS),
    ]


def _loss(exact: float | None, other: float | None) -> float | None:
    return None if exact is None or other is None else exact - other

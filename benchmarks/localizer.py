"""The localizer as a localizer: `python -m benchmarks.localizer --anatomy LABEL_MAPS --output DIR`.

On phantoms with a lesion, built around label maps that no training sees: does the ROI hold the lesion, and how much
larger is it than it need be? Prints every bound beside its figure and, as its last line, all figures as one JSON
object. Exit code: 0 all bounds reached, 1 some missed, 2 the request was wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import Bound, print_bounds, print_figures
from ctcore.console import progress
from ctcore.datasets.description import Layout
from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.files import read
from ctcore.geometry import Box, to_lps
from ctcore.json_files import read_json, write_json
from ctcore.labels import PanoramaLabel, pancreas_mask
from ctcore.nnunet.exported import load_model
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.resample import resample_to_spacing
from stage1_localizer.evaluate import evaluate_model, write_evaluation
from stage1_localizer.labelled import cases_of_dataset
from stage1_localizer.model import LocalizerModel
from stage1_localizer.roi import FALLBACK_Z, fallback_box, scale_box

SEED = 9003
"""Training uses the seeds 1001 to 1003, the acceptance benchmark 9001 and 9002."""

CASES = 60
SHARE_WHOLE = 59 / 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        model = _model_folder(options)
        cohort = make_cohort(options.output, options.anatomy, options.cases, options.seed, options.workers)
        cases = cases_of_dataset(cohort, Layout.NNUNET)
        with progress("locating") as report:
            evaluation = evaluate_model(model, cases, device="cpu", progress=report)
        metrics = write_evaluation(evaluation, options.output / "evaluation")
        fallback = measure_fallback(cases, load_model(model, LocalizerModel).spacing_mm)
        if options.native is not None:
            fallback |= measure_fallback_height(options.native)
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    lesion, ratio = metrics["lesion_in_roi"], metrics["roi_to_tightest"]
    whole = metrics["cases_with_lesion"] - lesion["cases_below_all"]
    bounds = [
        Bound(
            "lesion",
            f"cases of {options.cases} with every lesion voxel inside the ROI",
            whole,
            "at least",
            _least(options.cases),
        ),
        Bound("size", "ROI against the tightest box, mean", ratio["mean"], "at most", 1.3),
        Bound("size", "ROI against the tightest box, worst", ratio["worst"], "at most", 2.0),
        Bound("fallback", "share of cases", metrics["fallback_rate"], "equal to", 0.0),
        Bound("failed", "cases", len(evaluation.failed), "equal to", 0),
    ]
    print_figures(
        "further figures",
        [
            ("lesion inside the ROI: cut cases", ", ".join(lesion["cut_cases"]) or "none"),
            ("lesion inside the ROI: mean, worst", [lesion["mean"], lesion["worst"]]),
            ("pancreas inside the ROI: mean, worst", [metrics["pancreas_in_roi"][key] for key in ("mean", "worst")]),
            ("Dice of the pancreas: mean, worst", [metrics["dice"][key] for key in ("mean", "worst")]),
            ("ROI of the scan: mean, worst", [metrics["roi_of_scan"][key] for key in ("mean", "worst")]),
            ("ROI against the tightest box: worst case", ratio["worst_case"]),
            ("seconds a case: median", metrics["seconds"]["median"]),
            *((name.replace("_", " "), value) for name, value in fallback.items()),
        ],
    )
    print_bounds(bounds)
    print(json.dumps({"figures": metrics | fallback, "bounds": [bound.as_dict() for bound in bounds]}))
    return 0 if all(bound.reached for bound in bounds) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.localizer", description=__doc__)
    parser.add_argument("--anatomy", type=Path, required=True, help="folder of label maps with PANORAMA's values")
    parser.add_argument("--output", type=Path, required=True, help="work folder; phantoms that lie there are kept")
    parser.add_argument("--bundle", type=Path, help="model bundle (default: the one that comes with the package)")
    parser.add_argument("--model", type=Path, help="an exported stage-1 folder instead of a bundle")
    parser.add_argument("--native", type=Path, help="label maps on whole CT grids: where in a scan the pancreas lies")
    parser.add_argument("--cases", type=int, default=CASES, help=f"phantoms, all with a lesion (default: {CASES})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the phantoms (default: {SEED})")
    parser.add_argument("--workers", type=int, default=2, help="processes that render (default: 2)")
    return parser


def _least(cases: int) -> int:
    """Returns how many of so many cases must keep their whole lesion: 59 of 60."""
    return round(SHARE_WHOLE * cases)


def _model_folder(options: argparse.Namespace) -> Path:
    from pipeline.bundle import DEMO_BUNDLE, load_bundle

    if options.model is not None and options.bundle is not None:
        raise RequestError("give --model or --bundle, not both")
    return options.model if options.model is not None else load_bundle(options.bundle or DEMO_BUNDLE).stage1


def make_cohort(output: Path, anatomy: Path, cases: int, seed: int, workers: int) -> Path:
    """Renders phantoms with a lesion around label maps, or keeps those made for the same request."""
    from ctcore.phantom.cohort import write_cohort

    made_for = {
        "cases": cases,
        "seed": seed,
        "anatomy": str(anatomy.resolve()),
        "version": metadata.version("ct-lesion-pipeline"),
    }
    cohort, mark = output / "cohort", output / "cohort.json"
    if cohort.is_dir() and mark.is_file() and read_json(mark) == made_for:
        return cohort
    mark.unlink(missing_ok=True)
    shutil.rmtree(cohort, ignore_errors=True)
    with progress("phantoms") as report:
        write_cohort(cohort, cases, seed, anatomy=anatomy, positive_fraction=1.0, workers=workers, progress=report)
    write_json(mark, made_for)  # the sign of a complete cohort
    return cohort


def measure_fallback(cases: Sequence[TrainingCase], spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    """Measures the fallback ROI on every case, as if the network had found nothing."""
    held, lesions, sizes = [], [], []
    for case in cases:
        ct, label = to_lps(read(case.image))[0], to_lps(read(case.label))[0]
        low = resample_to_spacing(ct, spacing_mm)
        box = scale_box(fallback_box(low.array), low.geometry.shape, ct.geometry.shape)
        pancreas, lesion = pancreas_mask(label.array), label.array == PanoramaLabel.LESION
        held.append(float(pancreas[box.slices].sum() / pancreas.sum()))
        lesions.append(float(lesion[box.slices].sum() / lesion.sum()))
        sizes.append(box.voxels / pancreas.size)
    return {
        "fallback_ROI_holds_the_whole_pancreas_in_cases": sum(share == 1.0 for share in held),
        "fallback_ROI_holds_the_whole_lesion_in_cases": sum(share == 1.0 for share in lesions),
        "fallback_ROI_holds_of_the_pancreas_on_average": float(np.mean(held)),
        "fallback_ROI_holds_of_the_pancreas_at_worst": min(held),
        "fallback_ROI_of_the_scan_on_average": float(np.mean(sizes)),
    }


def measure_fallback_height(folder: Path) -> dict[str, Any]:
    """Measures how often the fallback's slices hold the pancreas of real CTs, of which only label maps are there."""
    from ctcore.files import discover

    heights = []
    for case in discover(folder):
        labels = to_lps(read(case.path))[0].array
        box = Box.of_mask(pancreas_mask(labels))
        if box is not None:
            heights.append((box.start[0] / labels.shape[0], box.stop[0] / labels.shape[0]))
    inside = [FALLBACK_Z[0] <= low and high <= FALLBACK_Z[1] for low, high in heights]
    return {
        "fallback_slices_hold_the_pancreas_of_real_scans": f"{sum(inside)} of {len(inside)}",
        "lowest_and_highest_pancreas_in_them": [min(low for low, _ in heights), max(high for _, high in heights)],
    }


if __name__ == "__main__":
    sys.exit(main())

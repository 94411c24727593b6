"""The evaluation beside picai_eval: `python -m benchmarks.evaluation --output DIR`.

Are all decisions equal, and how much faster is it, from the files on and without reading them? Prints every bound
beside its figure and, as its last line, all figures as one JSON object. Exit code: 0 all bounds reached, 1 some missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, print_bounds
from benchmarks.crafted import SHAPE, crafted_case
from benchmarks.peer import decisions, evaluate_quietly, picai
from ctcore.console import progress
from ctcore.errors import DatasetError
from ctcore.evaluation.components import find_components
from ctcore.evaluation.matching import MatchingRule, match
from ctcore.evaluation.statistics.curves import auroc, average_precision
from ctcore.files import write
from ctcore.volume import Geometry, Volume

RULES = (
    MatchingRule(0.15),
    MatchingRule(0.10),
    MatchingRule(0.5),
    MatchingRule(0.3, overlap="dice"),
    MatchingRule(0.15, further="false_positive"),
)
STUDY_CASES = 100
AREA_TOLERANCE = 1e-12

SCAN = Geometry((150, 512, 512), (0.75, 0.75, 1.5), (-190.0, -190.0, 0.0))
BATCH = 100
"""Cases that each evaluation does in turn, so that both meet the same weather; start and page count once a batch."""
IN_MEMORY_CASES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; cases that lie there are kept")
    parser.add_argument("--crafted", type=int, default=2000, help="small random cases per rule (default: 2000)")
    parser.add_argument("--cases", type=int, default=200, help="cases of 512x512x150 voxels (default: 200)")
    parser.add_argument("--workers", type=int, default=2, help="processes, and threads of picai_eval (default: 2)")
    options = parser.parse_args(arguments)

    figures: dict[str, Any] = {"equality": measure_equality(options.crafted)}
    figures["speed"] = measure_speed(options.output, options.cases, options.workers)
    figures["in_memory"] = measure_in_memory()
    equality, speed, in_memory = figures["equality"], figures["speed"], figures["in_memory"]
    bounds = [
        Bound("equality", "cases compared per rule", float(equality["cases"]), "at least", float(options.crafted)),
        Bound("equality", "cases decided otherwise than picai_eval", equality["other_decisions"], "equal to", 0),
        Bound("equality", "largest difference of AUROC", equality["auroc_difference"], "at most", AREA_TOLERANCE),
        Bound("equality", "largest difference of AP", equality["ap_difference"], "at most", AREA_TOLERANCE),
        Bound("speed", f"{options.cases} cases from files: times faster", speed["ratio"], "at least", 4.0),
        Bound("speed", "peak memory, all processes, GiB", speed["peak_gib"], "at most", 2.0),
        Bound("in memory", "without reading: times faster", in_memory["ratio"], "at least", 10.0),
    ]
    print_bounds(bounds)
    print(json.dumps({"figures": figures, "bounds": [bound.as_dict() for bound in bounds]}))
    return 0 if all(bound.reached for bound in bounds) else 1


def measure_equality(cases: int) -> dict[str, Any]:
    """Compares every decision and both areas on small random cases, for every rule; every tenth study is negative."""
    other = refused = 0
    differences: dict[str, float] = {"auroc": 0.0, "ap": 0.0}
    compared = dict.fromkeys(RULES, 0)
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    with progress("decisions") as report:
        for number, rule in enumerate(RULES):
            study = 0
            while compared[rule] < cases:
                rng = np.random.default_rng(study)
                maps, lesions, ours = [], [], []
                for _ in range(STUDY_CASES):
                    case = crafted_case(rng, negative=study % 10 == 0 or bool(rng.random() < 0.3))
                    try:
                        found = find_components(case.detection_map, case.lesion > 0, geometry)
                    except DatasetError:
                        refused += 1
                        continue
                    ours.append(match(found, rule))
                    maps.append(case.detection_map)
                    lesions.append(case.lesion)
                theirs = evaluate_quietly(
                    maps,
                    lesions,
                    min_overlap=rule.min_overlap,
                    overlap_func="IoU" if rule.overlap == "iou" else "DSC",
                    allow_unmatched_candidates_with_minimal_overlap=rule.further == "ignored",
                    num_parallel_calls=1,
                )
                for index, result in enumerate(ours):
                    expected = sorted((int(t), float(c)) for t, c, _ in theirs.lesion_results[index])
                    equal = [item[:2] for item in decisions(result)] == expected
                    other += not (equal and result.detection_max == theirs.case_pred[index])
                area = auroc([result.detection_max for result in ours], [result.n_lesions > 0 for result in ours])
                precision = average_precision([finding for result in ours for finding in result.findings])
                if area is not None and precision is not None:
                    differences["auroc"] = max(differences["auroc"], abs(area - theirs.auroc))
                    differences["ap"] = max(differences["ap"], abs(precision - theirs.AP))
                compared[rule] += len(ours)
                study += 1
                report(min(number * cases + compared[rule], len(RULES) * cases), len(RULES) * cases)
    return {
        "rules": len(RULES),
        "cases": min(compared.values()),
        "refused_by_both": refused,
        "other_decisions": other,
        "auroc_difference": differences["auroc"],
        "ap_difference": differences["ap"],
    }


def scan_case(number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Returns map and label of a case: half have a lesion, and up to five candidates, as `dynamic` modes give."""
    rng = np.random.default_rng([7, number])
    detection_map = np.zeros(SCAN.shape, np.float32)
    label = np.zeros(SCAN.shape, np.uint8)
    centre = np.array([75, 256, 256]) + rng.integers(-20, 21, 3)
    _ellipsoid(label, centre, (30, 40, 90), 4)
    _ellipsoid(label, centre + np.array([0, 60, 10]), (60, 14, 14), 3)
    _ellipsoid(label, centre + np.array([0, 40, -20]), (60, 12, 12), 2)
    if number % 2 == 0:
        radii = rng.uniform((4, 8, 8), (12, 25, 25))
        _ellipsoid(label, centre, radii, 1)
        _ellipsoid(detection_map, centre + rng.integers(-4, 5, 3), radii * rng.uniform(0.6, 1.2), rng.uniform(0.3, 1))
    for _ in range(int(rng.integers(1, 5))):
        place = centre + rng.integers((-40, -90, -150), (41, 91, 151))
        radii = rng.uniform((2, 4, 4), (6, 12, 12))
        if not _ellipsoid(detection_map, place, radii, 0.0).any():
            _ellipsoid(detection_map, place, radii, rng.uniform(0.05, 0.6))
    return detection_map, label


def _ellipsoid(
    array: npt.NDArray[Any], centre: npt.NDArray[Any], radii: Sequence[float] | npt.NDArray[Any], value: float
) -> npt.NDArray[Any]:
    """Paints an ellipsoid, unless the value is 0; returns what was in its box before."""
    low = np.maximum(np.floor(centre - radii).astype(int) - 1, 0)
    high = np.minimum(np.ceil(centre + radii).astype(int) + 2, array.shape)
    box = array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    before = box.copy()
    if value:
        z, y, x = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)) <= 1
        box[np.asarray(inside)] = value
    return before


def measure_speed(output: Path, cases: int, workers: int) -> dict[str, Any]:
    """Times both evaluations on the same files and processors, batch by batch in turn."""
    batches = [_write_batch(output / "scans", first, min(BATCH, cases - first)) for first in range(0, cases, BATCH)]
    ours, theirs, peaks = [], [], []
    with progress("speed") as report:
        for number, (batch, ids) in enumerate(batches):
            seconds, peak = _time_ours(batch, workers)
            ours.append(seconds)
            peaks.append(peak)
            maps = [batch / "maps" / f"{name}.nii.gz" for name in ids]
            labels = [batch / "labels" / f"{name}.nii.gz" for name in ids]
            begin = time.perf_counter()
            evaluate_quietly(
                maps, labels, min_overlap=0.15, num_parallel_calls=workers, y_true_postprocess_func=_lesion_alone
            )
            theirs.append(time.perf_counter() - begin)
            report(number + 1, len(batches))
    return {
        "cases": cases,
        "workers": workers,
        "ours_seconds": sum(ours),
        "picai_eval_seconds": sum(theirs),
        "ratio": sum(theirs) / sum(ours),
        "ratio_by_batch": [b / a for a, b in zip(ours, theirs, strict=True)],
        "peak_gib": max(peaks),
    }


def _lesion_alone(label: npt.NDArray[Any]) -> npt.NDArray[Any]:
    lesion: npt.NDArray[Any] = (label == 1).astype(np.int32)
    return lesion


def _write_batch(folder: Path, first: int, cases: int) -> tuple[Path, list[str]]:
    """Writes the files of a batch, unless they are there."""
    batch = folder / f"{first:04d}"
    ids = [f"scan_{number:04d}" for number in range(first, first + cases)]
    for number, name in enumerate(ids, start=first):
        if not (batch / "labels" / f"{name}.nii.gz").is_file():
            detection_map, label = scan_case(number)
            write(Volume(detection_map, SCAN), batch / "maps" / f"{name}.nii.gz")
            write(Volume(label, SCAN), batch / "labels" / f"{name}.nii.gz")
    return batch, ids


def _time_ours(batch: Path, workers: int) -> tuple[float, float]:
    """Runs `pipeline evaluate` as its users do; returns its seconds and its peak memory in GiB, workers included."""
    command = [sys.executable, "-m", "pipeline", "evaluate", "--predictions", str(batch / "maps")]
    command += ["--labels", str(batch / "labels"), "--output", str(batch / "evaluation"), "--workers", str(workers)]
    begin = time.perf_counter()
    process = subprocess.Popen([*command, "--bootstrap", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _resident_gib(process.pid))
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"'{' '.join(command)}' ended with exit code {process.returncode}")
    return seconds, peak


def _resident_gib(pid: int) -> float:
    """Returns the resident memory of a process and its descendants (Linux)."""
    total, waiting = 0, [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        try:
            total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in (process / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return total / 2**30


def measure_in_memory() -> dict[str, Any]:
    """Times both on arrays in memory, one process and thread each, case by case in turn."""
    rule = MatchingRule(0.15)
    ours, theirs = [], []
    for number in range(IN_MEMORY_CASES):
        detection_map, label = scan_case(1000 + number)
        begin = time.perf_counter()
        match(find_components(detection_map, label == 1, SCAN), rule)
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        picai().eval.evaluate_case(detection_map, label, min_overlap=0.15, y_true_postprocess_func=_lesion_alone)
        theirs.append(time.perf_counter() - begin)
    return {
        "cases": IN_MEMORY_CASES,
        "ours_median_seconds": statistics.median(ours),
        "picai_eval_median_seconds": statistics.median(theirs),
        "ratio": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
    }


if __name__ == "__main__":
    sys.exit(main())

"""Measures what the shipped model must reach: `python -m benchmarks.acceptance --output DIR`.

Prints every bound beside its figure and, as its last line, all figures as one JSON object. Exit code: 0 all bounds
reached, 1 some missed, 2 the request was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, print_bounds, print_figures
from benchmarks.cohorts import CohortPlan, measure_cohort
from benchmarks.real_ct import measure_real_ct
from benchmarks.speed import measure_speed
from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.json_files import write_json

PARTS = ("parametric", "anatomy", "real", "speed")
SCHEMA_VERSION = 1

PARAMETRIC_SEED, ANATOMY_SEED = 9001, 9002
"""Training uses the seeds 1001 to 1003 and 1005, calibration 1004."""

Measured = tuple[dict[str, Any], list[Bound]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        parts = _parts(options)
        bundle = _bundle(options.bundle)
        figures: dict[str, Any] = {}
        bounds: list[Bound] = []
        for part, measure in parts.items():
            figures[part], reached = measure()
            bounds += reached
            print_figures(part, _flat(figures[part]))
    except PipelineError as error:
        sys.stderr.write(f"error: {first_line(error)}\n")
        return 2
    print_bounds(bounds)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "bundle": bundle,
        "parts": figures,
        "bounds": [bound.as_dict() for bound in bounds],
        "reached": all(bound.reached for bound in bounds),
    }
    write_json(options.output / "acceptance.json", summary)
    print(json.dumps(summary))
    return 0 if summary["reached"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; cohorts that lie there are kept")
    parser.add_argument("--workers", type=int, default=2, help="processes that render phantoms (default: 2)")
    parser.add_argument("--parts", help=f"of {','.join(PARTS)} (default: all whose data is given)")
    parser.add_argument("--anatomy", type=Path, help="folder of label maps with PANORAMA's values")
    parser.add_argument("--real-ct", type=Path, help="a real CT")
    parser.add_argument("--real-pancreas", type=Path, help="its pancreas mask")
    parser.add_argument("--bundle", type=Path, help="model bundle (default: the one that comes with the package)")
    parser.add_argument("--parametric-cases", type=int, default=100, help="cases of that part (default: 100)")
    parser.add_argument("--anatomy-cases", type=int, default=40, help="cases of that part (default: 40)")
    parser.add_argument("--speed-cases", type=int, default=3, help="cases of that part (default: 3)")
    return parser


def _parts(options: argparse.Namespace) -> dict[str, Callable[[], Measured]]:
    """Returns what measures each part that is asked for, in order.

    Raises:
        RequestError: a part is unknown, or lacks its data.
    """
    output, bundle, workers = options.output, options.bundle, options.workers
    parametric = CohortPlan(
        "parametric", options.parametric_cases, PARAMETRIC_SEED, None, 0.90, 0.70, roi_holds=0.99, roi_of_scan=0.35
    )
    available: dict[str, Callable[[], Measured]] = {
        "parametric": lambda: measure_cohort(parametric, output / "parametric", bundle, workers)
    }
    if options.anatomy is not None:
        anatomy = CohortPlan("anatomy", options.anatomy_cases, ANATOMY_SEED, options.anatomy, 0.80, 0.45)
        available["anatomy"] = lambda: measure_cohort(anatomy, output / "anatomy", bundle, workers)
    if options.real_ct is not None and options.real_pancreas is not None:
        available["real"] = lambda: measure_real_ct(options.real_ct, options.real_pancreas, output / "real", bundle)
    available["speed"] = lambda: measure_speed(output / "speed", bundle, options.speed_cases)
    if options.parts is None:
        return available
    wanted = [part.strip() for part in options.parts.split(",")]
    for part in wanted:
        if part not in PARTS:
            raise RequestError(f"part '{part}' is unknown; choose of {', '.join(PARTS)}")
        if part not in available:
            needed = "--anatomy" if part == "anatomy" else "--real-ct and --real-pancreas"
            raise RequestError(f"part '{part}' needs {needed}")
    return {part: measure for part, measure in available.items() if part in wanted}


def _bundle(path: Path | None) -> dict[str, str]:
    """Returns which bundle was measured."""
    from pipeline.bundle import DEMO_BUNDLE, load_bundle

    bundle = load_bundle(path or DEMO_BUNDLE)
    return {"name": bundle.manifest.name, "version": bundle.manifest.version, "sha256": bundle.digest}


def _flat(figures: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns figures with those of nested tables on rows of their own."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        title = name.replace("_", " ")
        if isinstance(value, dict):
            rows += [(f"{title}: {key.replace('_', ' ')}", item) for key, item in value.items()]
        else:
            rows.append((title, value))
    return rows


if __name__ == "__main__":
    sys.exit(main())

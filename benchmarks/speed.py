"""Seconds a case at clinical size: 512 x 512 pixels, 100 slices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import Bound
from benchmarks.process import run_pipeline
from ctcore.errors import RequestError

PART = "speed"
SEED = 9003
SLICES = 100
LEAST_STEP_MM = 1.5
"""Slice spacing of the phantoms that are taken: 100 slices then show at least 150 mm, the whole pancreas."""
MOST_TRIES = 40
MOST_SECONDS = 20.0


def make_cases(folder: Path, cases: int) -> Path:
    """Renders CTs of 512 x 512 x 100 voxels around the pancreas, or keeps those that are there; returns their folder.

    Seeds are tried in order; phantoms with fewer or thinner slices are left out.

    Raises:
        RequestError: too few of the seeds give such a phantom.
    """
    from ctcore.console import progress
    from ctcore.files import write
    from ctcore.geometry import Box, crop
    from ctcore.labels import pancreas_mask
    from ctcore.phantom.phantom import make_phantom

    images = folder / "images"
    if len(list(images.glob("*.nii.gz"))) == cases:
        return images
    shutil.rmtree(images, ignore_errors=True)
    made = 0
    with progress("clinical phantoms") as report:
        for index in range(MOST_TRIES):
            if made == cases:
                break
            seed = np.random.SeedSequence(SEED, spawn_key=(index,))
            phantom = make_phantom(seed, positive=made % 2 == 0, size="clinical")
            geometry = phantom.image.geometry
            gland = Box.of_mask(pancreas_mask(phantom.labels.array))
            if gland is None or geometry.shape[0] < SLICES or geometry.spacing_zyx[0] < LEAST_STEP_MM:
                continue
            middle = (gland.start[0] + gland.stop[0]) // 2
            first = min(max(middle - SLICES // 2, 0), geometry.shape[0] - SLICES)
            box = Box((first, 0, 0), (first + SLICES, *geometry.shape[1:]))
            write(crop(phantom.image, box), images / f"speed_{index:02d}.nii.gz")
            made += 1
            report(made, cases)
    if made < cases:
        raise RequestError(f"{MOST_TRIES} seeds gave {made} phantoms of {SLICES} slices, not {cases}; ask for fewer")
    return images


def measure_speed(folder: Path, bundle: Path | None, cases: int) -> tuple[dict[str, Any], list[Bound]]:
    """Runs a few CTs of clinical size, models loaded once.

    Args:
        folder: where CTs and run lie.
        bundle: model bundle; None for the one that comes with the package.
        cases: number of CTs.

    Returns:
        The figures, and the bound beside its own: the slowest case's time over all phases, although reading and writing
        overlap with the computation of other cases.
    """
    images = make_cases(folder, cases)
    finished = run_pipeline(images, folder / "run", bundle, ["--overwrite"])
    run = finished.run_record()
    records = finished.case_records()
    slowest = max(records, key=lambda record: sum(record["seconds"].values()))
    loading = run["phase_seconds"]["load_models"]
    figures = {
        "cases": len(records),
        "failed": sum(record["status"] != "done" for record in records),
        "execution": run["execution"],
        "seconds_slowest_case": sum(slowest["seconds"].values()),
        "seconds_slowest_case_by_phase": slowest["seconds"],
        "seconds_wall_a_case": (run["wall_seconds"] - loading) / len(records),
        "seconds_loading_models": loading,
        "seconds_process": finished.wall_seconds,
        "peak_gib": finished.peak_gib,
    }
    return figures, [
        Bound(PART, "seconds, slowest case of 512x512x100", figures["seconds_slowest_case"], "at most", MOST_SECONDS),
        Bound(PART, "failed cases", figures["failed"], "at most", 0),
    ]

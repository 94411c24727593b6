"""What the run makes of a real CT with a segmented pancreas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound
from benchmarks.process import run_pipeline
from benchmarks.roi import measure_roi
from ctcore.errors import RequestError
from ctcore.files import case_id_of, read, read_ct
from ctcore.json_files import read_json

PART = "real"
LARGEST_ROI, LEAST_HELD = 0.60, 0.90


def measure_real_ct(
    ct_file: Path, pancreas_file: Path, folder: Path, bundle: Path | None
) -> tuple[dict[str, Any], list[Bound]]:
    """Runs one real CT.

    Args:
        ct_file: the CT.
        pancreas_file: its pancreas, non-zero on the CT's grid.
        folder: where the run lies.
        bundle: model bundle; None for the one that comes with the package.

    Returns:
        The figures, and the bounds beside theirs.

    Raises:
        RequestError: the mask is empty or lies on another grid.
    """
    ct, pancreas = read_ct(ct_file), read(pancreas_file)
    if not ct.geometry.allclose(pancreas.geometry) or not pancreas.array.any():
        raise RequestError(f"'{pancreas_file}' is empty or does not lie on the grid of '{ct_file}'; give its own mask")
    finished = run_pipeline(ct_file, folder / "run", bundle, ["--overwrite"])
    case_id = case_id_of(ct_file)
    record = read_json(finished.output / "cases" / f"{case_id}.json")
    done = finished.exit_code == 0 and record["status"] == "done"
    figures: dict[str, Any] = {"finished": done, "error": record["error"], "score": record["score"]}
    if done:
        found = read(finished.output / "detection_maps" / f"{case_id}.nii.gz")
        roi = measure_roi(record, pancreas.array != 0)
        figures |= {
            "geometry_bit_equal": found.geometry == ct.geometry,
            "roi_of_scan": roi.of_scan,
            "roi_holds": roi.held,
            "roi_source": roi.source,
            "flags": record["flags"],
            "classes": record["classes"],
            "detection_max": record["detection_max"],
            "pancreas_ml": record["pancreas_ml"],
            "seconds": sum(record["seconds"].values()),
            "peak_gib": finished.peak_gib,
        }
    return figures, [
        Bound(PART, "run finishes", done, "equal to", True),
        Bound(PART, "detection map's geometry bit-equal", figures.get("geometry_bit_equal"), "equal to", True),
        Bound(PART, "ROI of the scan, share", figures.get("roi_of_scan"), "at most", LARGEST_ROI),
        Bound(PART, "pancreas inside the ROI, share", figures.get("roi_holds"), "at least", LEAST_HELD),
        Bound(PART, "ROI found by", figures.get("roi_source"), "equal to", "localizer"),
    ]

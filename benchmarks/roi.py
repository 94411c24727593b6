"""How much of the pancreas a region of interest holds, and how much of the scan it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.geometry import Box


@dataclass(frozen=True)
class RoiMeasure:
    """The ROI of one case against its true pancreas.

    Attributes:
        case_id: the case.
        held: share of the pancreas voxels inside the ROI; None where the scan shows no pancreas.
        of_scan: share of the scan's voxels that the ROI is.
        source: `localizer` or `fallback`.
    """

    case_id: str
    held: float | None
    of_scan: float
    source: str


def measure_roi(record: dict[str, Any], pancreas: npt.NDArray[np.bool_]) -> RoiMeasure:
    """Measures the ROI of a case.

    Args:
        record: its `cases/CASE.json`; the ROI is an index box (z, y, x) of the input grid.
        pancreas: (z, y, x) true mask on the same grid.
    """
    roi = record["roi"]
    box = Box(tuple(roi["start"]), tuple(roi["stop"]))
    total = int(np.count_nonzero(pancreas))
    held = int(np.count_nonzero(pancreas[box.slices])) / total if total else None
    return RoiMeasure(record["case_id"], held, box.voxels / pancreas.size, roi["source"])


def summarize(measures: Sequence[RoiMeasure]) -> dict[str, Any]:
    """Returns the ROI figures of a cohort; cases without a visible pancreas count only for the size of the ROI."""
    held = [(measure.held, measure.case_id) for measure in measures if measure.held is not None]
    worst, worst_case = min(held, default=(None, None))
    return {
        "roi_holds_mean": float(np.mean([share for share, _ in held])) if held else None,
        "roi_holds_worst": worst,
        "roi_holds_worst_case": worst_case,
        "roi_cases_below_99_percent": sum(share < 0.99 for share, _ in held),
        "roi_of_scan_mean": float(np.mean([measure.of_scan for measure in measures])) if measures else None,
        "roi_of_scan_largest": max((measure.of_scan for measure in measures), default=None),
        "fallback_rate": float(np.mean([m.source == "fallback" for m in measures])) if measures else None,
        "cases_without_visible_pancreas": len(measures) - len(held),
    }

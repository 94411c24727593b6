"""The figures of many localized cases, and how they are written and shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stage1_localizer.measure import CaseFigures

if TYPE_CHECKING:
    from rich.table import Table

CSV_DIGITS = 10
"""Enough to tell a share that lacks one voxel from 1."""


def summarize(rows: Sequence[CaseFigures]) -> dict[str, Any]:
    """Returns the figures of a cohort; a share or ratio is None where no case has the structure it speaks of."""
    fallbacks = [row.case_id for row in rows if row.source == "fallback"]
    return {
        "cases": len(rows),
        "cases_with_lesion": sum(row.lesion_in_roi is not None for row in rows),
        "cases_without_pancreas": sum(row.pancreas_in_roi is None for row in rows),
        "lesion_in_roi": _share(rows, lambda row: row.lesion_in_roi),
        "pancreas_in_roi": _share(rows, lambda row: row.pancreas_in_roi),
        "dice": _statistics(rows, lambda row: row.dice, min),
        "roi_to_tightest": _statistics(rows, lambda row: row.roi_to_tightest, max),
        "roi_of_scan": _statistics(rows, lambda row: row.roi_of_scan, max),
        "seconds": _statistics(rows, lambda row: row.seconds, max),
        "fallback_rate": len(fallbacks) / len(rows) if rows else None,
        "fallback_cases": fallbacks,
    }


def _statistics(
    rows: Sequence[CaseFigures],
    value_of: Callable[[CaseFigures], float | None],
    worst_of: Callable[[Sequence[tuple[float, str]]], tuple[float, str]],
) -> dict[str, Any]:
    import numpy as np

    values = [(value, row.case_id) for row in rows if (value := value_of(row)) is not None]
    if not values:
        return {"mean": None, "median": None, "worst": None, "worst_case": None}
    worst, case_id = worst_of(values)
    numbers = [value for value, _ in values]
    return {
        "mean": float(np.mean(numbers)),
        "median": float(np.median(numbers)),
        "worst": worst,
        "worst_case": case_id,
    }


def _share(rows: Sequence[CaseFigures], value_of: Callable[[CaseFigures], float | None]) -> dict[str, Any]:
    cut = [row.case_id for row in rows if (value := value_of(row)) is not None and value < 1.0]
    return _statistics(rows, value_of, min) | {"cases_below_all": len(cut), "cut_cases": cut}


CSV_COLUMNS = (
    "case_id",
    "fold",
    "status",
    "lesion_in_roi",
    "pancreas_in_roi",
    "dice",
    "roi_to_tightest",
    "roi_of_scan",
    "roi_ml",
    "pancreas_ml",
    "lesion_ml",
    "predicted_ml",
    "lesion_beyond_z_mm",
    "lesion_beyond_y_mm",
    "lesion_beyond_x_mm",
    "pancreas_beyond_z_mm",
    "pancreas_beyond_y_mm",
    "pancreas_beyond_x_mm",
    "source",
    "flags",
    "seconds",
    "error",
)


def cases_csv(rows: Sequence[CaseFigures], failed: Mapping[str, str]) -> str:
    """Returns the table of all cases: one row each, empty where a figure does not exist."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        content = row.as_dict() | {"status": "done", "flags": " ".join(row.flags)}
        for structure in ("lesion", "pancreas"):
            beyond = content.pop(f"{structure}_beyond_mm") or (None, None, None)
            content |= {f"{structure}_beyond_{axis}_mm": mm for axis, mm in zip("zyx", beyond, strict=True)}
        writer.writerow({name: _cell(value) for name, value in content.items()})
    for case_id, reason in failed.items():
        writer.writerow({"case_id": case_id, "status": "failed", "error": reason})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return round(value, CSV_DIGITS) if isinstance(value, float) else value


def table_of(summary: Mapping[str, Any]) -> Table:
    """Returns the figures as a table for the console."""
    from rich.table import Table
    from rich.text import Text

    table = Table("measure", "mean", "median", "worst", "worst case", "below 100 %")
    for name, title in (
        ("lesion_in_roi", "lesion inside the ROI"),
        ("pancreas_in_roi", "pancreas inside the ROI"),
        ("dice", "Dice of the pancreas"),
        ("roi_to_tightest", "ROI against the tightest box"),
        ("roi_of_scan", "ROI of the scan"),
        ("seconds", "seconds a case"),
    ):
        figures = summary[name]
        percent = name.endswith("_in_roi") or name == "roi_of_scan"
        numbers = [_shown(figures[key], percent) for key in ("mean", "median", "worst")]
        table.add_row(title, *numbers, Text(figures["worst_case"] or ""), str(figures.get("cases_below_all", "")))
    rate = summary["fallback_rate"]
    table.add_row("fallback ROI", _shown(rate, True), "", "", Text("".join(summary["fallback_cases"][:1])), "")
    return table


def _shown(value: float | None, percent: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if percent else f"{value:.3f}"

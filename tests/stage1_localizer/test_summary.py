"""Figures of many cases, their table and their CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from stage1_localizer.measure import CaseFigures
from stage1_localizer.summary import CSV_COLUMNS, cases_csv, summarize, table_of

ROW = CaseFigures(
    case_id="a",
    fold="0",
    source="localizer",
    dice=0.8,
    lesion_in_roi=1.0,
    pancreas_in_roi=1.0,
    roi_to_tightest=1.2,
    roi_of_scan=0.1,
    roi_ml=1000.0,
    pancreas_ml=80.0,
    lesion_ml=5.0,
    predicted_ml=75.0,
    lesion_beyond_mm=(1.0, 2.0, 0.0),
    pancreas_beyond_mm=(3.0, 2.0, 1.0),
    flags=(),
    seconds=0.5,
)
ROWS = [
    ROW,
    replace(ROW, case_id="b", dice=0.6, lesion_in_roi=1 - 1e-9, pancreas_in_roi=0.9, roi_to_tightest=0.9, seconds=1.5),
    replace(ROW, case_id="c", dice=0.1, lesion_in_roi=None, lesion_beyond_mm=None, source="fallback", roi_of_scan=0.4),
    replace(ROW, case_id="d", dice=None, lesion_in_roi=None, pancreas_in_roi=None, roi_to_tightest=None),
]


def test_by_hand() -> None:
    summary = summarize(ROWS)
    assert summary["cases"] == 4
    assert (summary["cases_with_lesion"], summary["cases_without_pancreas"]) == (2, 1)
    assert summary["lesion_in_roi"]["cut_cases"] == ["b"]  # a single voxel of a billion
    assert summary["lesion_in_roi"]["worst_case"] == "b"
    assert summary["pancreas_in_roi"]["mean"] == pytest.approx((1 + 0.9 + 1) / 3)
    assert summary["pancreas_in_roi"]["cases_below_all"] == 1
    assert summary["dice"] == {
        "mean": pytest.approx(0.5),
        "median": pytest.approx(0.6),
        "worst": 0.1,
        "worst_case": "c",
    }
    assert summary["roi_to_tightest"]["worst"] == 1.2
    assert (summary["roi_of_scan"]["worst"], summary["roi_of_scan"]["worst_case"]) == (0.4, "c")
    assert (summary["fallback_rate"], summary["fallback_cases"]) == (0.25, ["c"])


def test_no_case_at_all() -> None:
    summary = summarize([])
    assert summary["fallback_rate"] is None
    assert summary["lesion_in_roi"]["mean"] is None
    shown(summary)


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(cases_csv(ROWS, {"e": "its label, is missing"}))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["status"] for row in rows] == ["done"] * 4 + ["failed"]
    assert (rows[0]["lesion_beyond_y_mm"], rows[0]["pancreas_beyond_z_mm"]) == ("2.0", "3.0")
    assert (rows[2]["lesion_in_roi"], rows[2]["lesion_beyond_z_mm"]) == ("", "")
    assert rows[1]["lesion_in_roi"] != ""
    assert float(rows[1]["lesion_in_roi"]) < 1
    assert rows[4] == dict.fromkeys(CSV_COLUMNS, "") | {
        "case_id": "e",
        "status": "failed",
        "error": "its label, is missing",
    }


def shown(summary: dict[str, object]) -> str:
    text = io.StringIO()
    Console(file=text, width=120).print(table_of(summary))
    return text.getvalue()


def test_the_table_on_the_console() -> None:
    text = shown(summarize(ROWS))
    for words in ("lesion inside the ROI", "96.67 %", "0.500", "fallback ROI", "25.00 %"):
        assert words in text

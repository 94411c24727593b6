"""The report's page: self-contained, escaped, honest about what failed."""

from __future__ import annotations

import re
from typing import Any

from pipeline.records import CaseRecord, CaseStatus, FusionRecord, RunOptions, RunRecord
from pipeline.report.page import report_html


def case(case_id: str, **changes: Any) -> CaseRecord:
    """Returns a finished case."""
    values: dict[str, Any] = {
        "case_id": case_id,
        "image": f"{case_id}.nii.gz",
        "status": "done",
        "score": 0.5,
        "label": "PDAC",
        "classes": {"PDAC": 0.6},
        "detection_max": 0.4,
        "fusion": FusionRecord(rule="mean", terms={}),
        "candidates": ({"confidence": 0.4, "volume_ml": 2.0, "diameter_mm": 14.2, "centroid_lps_mm": [1, 2, 3]},),
    }
    return CaseRecord(**(values | changes))


def run_of(*records: CaseRecord, notice: str | None = None) -> RunRecord:
    """Returns a run of these cases."""
    return RunRecord(
        notice=notice,
        complete=True,
        started="2025-01-01T00:00:00+00:00",
        wall_seconds=3.0,
        versions={"python": "3.11"},
        bundle={"name": "tiny", "version": "1", "sha256": "ab", "demo": bool(notice), "folder": "b"},
        input="cts",
        options=RunOptions(),
        execution={"device": "cpu"},
        phase_seconds={"read": 1.0},
        cases=tuple(
            CaseStatus(case_id=r.case_id, status=r.status, error=r.error, reused=False, seconds=1.0) for r in records
        ),
    )


def test_page_is_self_contained() -> None:
    record = case("a b#1")
    page = report_html(run_of(record), [record], {"a b#1"})
    assert not re.search(r"https?:|//|@import|<script|url\(", page)
    assert re.findall(r'src="([^"]*)"', page) == ["cases/a%20b%231.png"]
    target = re.search(r'href="#([^"]*)"', page)
    anchor = re.search(r'<section class="case" id="([^"]*)"', page)
    assert target is not None
    assert anchor is not None
    assert target.group(1).replace("%25", "%") == anchor.group(1)


def test_text_from_outside_is_escaped() -> None:
    record = case("<b>x</b>", status="failed", error="<script>alert(1)</script>", candidates=(), score=None)
    page = report_html(run_of(record, notice="a < b"), [record], set())
    assert "<script>" not in page
    assert "<b>x</b>" not in page
    assert "a &lt; b" in page


def test_strongest_case_comes_first_and_failed_ones_last() -> None:
    records = [case("low", score=0.1), case("bad", status="failed", error="why", score=None), case("high", score=0.9)]
    page = report_html(run_of(*records), records, set())
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert table.index("high") < table.index("low") < table.index("bad") < table.index("why")
    assert "No picture" in page
    assert 'style="width:90.0%"' in page

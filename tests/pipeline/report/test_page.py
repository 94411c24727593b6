"""The cohort's page: self-contained, escaped, honest about what failed."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from ctcore.detection.calibration import OperatingPoint
from pipeline.records import CaseRecord, FusionRecord, RunOptions
from pipeline.report.page import report_html
from pipeline.run_record import CaseStatus, RunRecord


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
    assert not re.search(r"https?:|//[a-z]|@import|url\(|src=", page)
    assert re.findall(r'href="([^"]*)"', page) == ["cases/a%20b%231.html"]


def test_no_script_runs_but_the_packages_own() -> None:
    page = report_html(run_of(), [], set())
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert not re.search(r'<[^>]* on[a-z]+="', page)


def test_text_from_outside_is_escaped() -> None:
    record = case('<b>x</b>" onclick="', status="failed", error="<script>alert(1)</script>", candidates=(), score=None)
    page = report_html(run_of(record, notice="a < b"), [record], set())
    assert page.count("<script>") == 1  # its own
    assert "<b>x</b>" not in page
    assert ' onclick="' not in page
    assert "a &lt; b" in page


def test_strongest_case_comes_first_and_failed_ones_last() -> None:
    records = [case("low", score=0.1), case("bad", status="failed", error="why", score=None), case("high", score=0.9)]
    page = report_html(run_of(*records), records, set())
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert table.index("high") < table.index("low") < table.index("bad") < table.index("why")
    assert 'style="width:90.0%"' in page
    assert "<a href=" not in table  # none has a page


def test_rows_say_what_they_are_filtered_by() -> None:
    records = [case("A1", flags=("demo_model", "roi_fallback")), case("b", status="failed", error="why", score=None)]
    page = report_html(run_of(*records), records, set())
    assert 'data-name="a1" data-status="done" data-score="0.5" data-flags="demo_model roi_fallback"' in page
    assert 'data-name="b" data-status="failed" data-score="" data-flags=""' in page
    assert '<option value="roi_fallback">region of interest from the body&#x27;s outline alone</option>' in page
    assert 'title="demo_model">demonstration model</span>' in page


def test_operating_points_and_what_they_were_chosen_on() -> None:
    record = case("a")
    assert "Operating points" not in report_html(run_of(record), [record], set())
    point = OperatingPoint(target="sensitivity", value=0.95, threshold=0.25, sensitivity=0.96, specificity=0.5)
    run = run_of(record).model_copy(update={"operating_points": (point,), "calibrated_on": "<120> phantoms"})
    page = report_html(run, [record], set())
    assert "<td>sensitivity 0.95</td>" in page
    assert '<td class="number">0.250</td><td class="number">0.960</td><td class="number">0.500</td>' in page
    assert "Chosen on &lt;120&gt; phantoms" in page


def test_a_thousand_cases_are_less_than_two_mib() -> None:
    flags = ("demo_model", "unlike_training_data", "head_and_map_disagree")
    records = [case(f"1{number:05d}_00001", flags=flags) for number in range(1000)]
    assert len(report_html(run_of(*records), records, {record.case_id for record in records})) < 2 * 2**20

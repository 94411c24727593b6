"""The report's page: self-contained, escaped, honest about what failed."""

from __future__ import annotations

import re
from typing import Any

from ctcore.quality.reference import Limits
from pipeline.records import CaseRecord, FusionRecord, QualityRecord, RunOptions
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


def test_flags_are_said_in_words_with_what_was_measured() -> None:
    quality = QualityRecord(
        slice_spacing_mm=2.5,
        noise_hu=34.21,
        veins_hu=41.0,
        pancreas_hu=40.0,
        contrast_phase="unenhanced",
        metal_ml=0.5,
        stage_dice=0.2,
        feature_percentile=100.0,
        limits={"noise_hu": Limits(low=4.12, high=25), "stage_dice": Limits(low=0.5)},
        unchecked={"folds_disagree": "fewer than two folds ran", "something_new": "<why>"},
    )
    flags = (
        "noise_outside_training_range",
        "contrast_phase_not_portal_venous",
        "metal_near_pancreas",
        "stages_disagree",
        "unlike_training_data",
        "roi_fallback",
        "of_tomorrow",
        "demo_model",
    )
    record = case("a", flags=flags, quality=quality)
    page = report_html(run_of(record), [record], set())
    table, section = page[: page.index("<section")], page[page.index("<section") :]
    assert 'title="noise_outside_training_range">noise outside the training range</span>' in table
    for sentence in (
        "noise outside the training range: 34.2 HU, usually 4.12 to 25 HU",
        "contrast phase not portal-venous: it looks unenhanced (veins 41 HU, pancreas 40 HU)",
        "metal near the pancreas: 0.50 ml",
        "the two stages disagree on the pancreas: Dice 0.20, usually at least 0.5",
        "unlike the training data: farther than 100 % of the reference cases",
        "region of interest from the body&#x27;s outline alone",
        "of tomorrow",
        "not checked: the folds disagree (fewer than two folds ran); something new (&lt;why&gt;)",
    ):
        assert f"<li>{sentence}</li>" in section
    assert "<li>demonstration" not in section  # the banner says it


def test_a_case_of_an_earlier_version_says_that_nothing_was_checked() -> None:
    record = case("a")
    assert "not checked: quality (computed by an earlier version)" in report_html(run_of(record), [record], set())

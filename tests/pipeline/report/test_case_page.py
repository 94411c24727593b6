"""A case's page: what the score is made of, what can be trusted, escaped."""

from __future__ import annotations

import re

from ctcore.quality.reference import Limits
from pipeline.records import FusionRecord, QualityRecord
from pipeline.report.case_page import case_html
from tests.pipeline.report.test_page import case


def test_page_has_no_script_and_asks_nobody() -> None:
    page = case_html(case("a b#1"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script", page)
    assert re.findall(r'src="([^"]*)"', page) == ["a%20b%231.png"]
    assert re.findall(r'href="([^"]*)"', page) == ["../index.html"]


def test_every_term_of_the_score_is_there() -> None:
    fusion = FusionRecord(rule="mean", terms={"p_lesion": 0.6, "detection_max": 0.4})
    record = case(
        "a",
        classes={"non-PDAC": 0.4, "PDAC": 0.6},
        fusion=fusion,
        calibrated_probability=0.25,
        operating_points={"sensitivity 0.95": True, "specificity 0.95": False},
    )
    page = case_html(record)
    for row in (
        "<td>probability of non-PDAC (classifier)</td>",
        "<td>term p_lesion</td><td>0.6000</td>",
        "<td>rule that joins them</td><td>mean</td>",
        "<td>operating point sensitivity 0.95</td><td>at or above</td>",
        "<td>operating point specificity 0.95</td><td>below</td>",
        "25 % of validation cases at this score were positive",
    ):
        assert row in page
    assert "0.500" in page[page.index("<td>score</td>") :]


def test_a_case_without_findings_has_the_same_page() -> None:
    page = case_html(case("a", candidates=(), flags=("no_picture",), classes={}, label=None))
    assert "No lesion candidate." in page
    assert "The picture could not be drawn." in page
    assert "<img" not in page


def test_text_from_outside_is_escaped() -> None:
    page = case_html(case("<b>x</b>", image="<i>.nii.gz", notice="a < b", label="<u>"))
    for markup in ("<b>x", "<i>.nii", "<u>"):
        assert markup not in page
    assert "a &lt; b" in page


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
    page = case_html(record)
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
        assert f"<li>{sentence}</li>" in page
    assert "<li>demonstration" not in page  # the banner says it


def test_a_case_of_an_earlier_version_says_that_nothing_was_checked() -> None:
    record = case("a")
    assert "not checked: quality (computed by an earlier version)" in case_html(record)

"""Measurements on the page: with units, escaped, and said to be what they are."""

from __future__ import annotations

from pipeline.measurements_record import ContactRecord
from pipeline.report.case_page import case_html
from pipeline.report.measurements import measurements_html
from tests.pipeline.report.test_page import case
from tests.pipeline.test_measurements_record import a_lesion, some


def test_measurements_are_said_with_units() -> None:
    page = measurements_html(some())
    assert "measured on the model&#x27;s segmentation; not compared with radiologists&#x27; readings" in page
    for sentence in (
        "pancreas: 80.2 ml, 182 mm along its centre line, median thickness 18.5 mm",
        "main pancreatic duct: calibre at most 5.5 mm, median 4.0 mm; 90 mm show, 60 mm of them wider than 3 mm",
        "common bile duct: calibre at most 9.0 mm, median 7.0 mm; 55 mm show",
        "labelled lesion: 4.75 ml",
    ):
        assert f"<li>{sentence}</li>" in page
    row = page[page.index("<tbody>") :]
    assert '<td>1</td><td>2</td><td class="number">4.50</td><td class="number">22</td><td>head</td>' in row
    assert '<td class="number">12.5</td><td class="number">&ndash;</td>' in row
    assert "superior mesenteric artery 120&deg; over 14 mm<br>none with: portal vein" in row


def test_what_is_not_there_is_said() -> None:
    page = measurements_html(some(gland=None, duct=None, lesion_ml=0.0, lesions=()))
    assert "<li>too little in the segmentation to measure: pancreas, main pancreatic duct</li>" in page
    assert "<table>" not in page
    assert "no vessel shows" in measurements_html(some(lesions=(a_lesion(contact={}, candidate=None, part=None),)))
    assert measurements_html(None) == ""


def test_names_full_of_markup_are_escaped() -> None:
    touched, free = ContactRecord(degrees=90.0, length_mm=3.0), ContactRecord(degrees=0.0, length_mm=0.0)
    lesion = a_lesion(contact={"<script>alert(1)</script>": touched, '"><b>vein</b>': free})
    record = case("<i>a</i>", measurements=some(lesions=(lesion,)))
    page = case_html(record)
    assert "<script>" not in page
    assert "<b>vein</b>" not in page
    assert "<i>a</i>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 90&deg; over 3 mm" in page


def test_the_page_shows_them_where_there_are_some() -> None:
    assert case_html(case("a", measurements=some())).count("<b>Measurements</b>") == 1
    assert "Measurements" not in case_html(case("b"))

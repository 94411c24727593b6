"""The report in a real browser, from the disk: no request, no error; sorting, filtering, the way to a case and back."""

from __future__ import annotations

from pathlib import Path

from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord
from pipeline.report.case_page import write_case_page
from pipeline.report.page import write_report
from tests.pipeline.report.test_page import case, run_of
from tests.visitor import Visitor


def names(visitor: Visitor) -> list[str]:
    """Returns the cases that show, from the top."""
    return [str(name) for name in visitor.page.locator("#cases tbody tr:visible th").all_inner_texts()]


def write(folder: Path, records: list[CaseRecord]) -> str:
    """Writes the pages of cases; returns where the first one is."""
    output = OutputFolder(folder)
    for record in records:
        if record.status == "done":
            write_case_page(output, record)
    write_report(output, run_of(*records), records)
    return (output.report_folder / "index.html").resolve().as_uri()


RECORDS = [
    case("a", score=0.9, candidates=(), flags=("demo_model", "no_picture")),
    case("b", score=0.1, detection_max=0.95, flags=("no_picture",)),
    case("<b>c #1?", score=0.5, detection_max=0.2, flags=("no_picture",)),
    case("d", status="failed", error="why", score=None, detection_max=None, flags=("demo_model",)),
]


def test_headers_sort(visitor: Visitor, tmp_path: Path) -> None:
    visitor.page.goto(write(tmp_path, RECORDS))
    assert names(visitor) == ["a", "<b>c #1?", "b", "d"]
    score = visitor.page.get_by_role("button", name="score")
    score.click()
    assert names(visitor) == ["b", "<b>c #1?", "a", "d"]  # who failed has no score, and stays last
    assert visitor.page.locator("th[aria-sort]").all_inner_texts() == ["score"]
    score.press("Enter")
    assert names(visitor) == ["a", "<b>c #1?", "b", "d"]
    visitor.page.get_by_role("button", name="map maximum").click()
    assert names(visitor)[:2] == ["b", "a"]
    visitor.page.get_by_role("button", name="case").click()
    assert names(visitor) == ["<b>c #1?", "a", "b", "d"]


def test_fields_filter(visitor: Visitor, tmp_path: Path) -> None:
    visitor.page.goto(write(tmp_path, RECORDS))
    told = visitor.page.locator("#shown")
    assert told.inner_text() == "4 of 4 cases shown"
    visitor.page.get_by_label("Case").fill("C #")
    assert (names(visitor), told.inner_text()) == (["<b>c #1?"], "1 of 4 cases shown")
    visitor.page.get_by_label("Case").fill("")
    visitor.page.get_by_label("Status").select_option("failed")
    assert names(visitor) == ["d"]
    visitor.page.get_by_label("Status").select_option("")
    visitor.page.get_by_label("Flag").select_option("demo_model")
    assert names(visitor) == ["a", "d"]
    visitor.page.get_by_label("Flag").select_option("")
    visitor.page.get_by_label("Score at least").fill("0.5")
    assert names(visitor) == ["a", "<b>c #1?"]


def test_a_case_opens_its_page_and_leads_back(visitor: Visitor, tmp_path: Path) -> None:
    visitor.page.goto(write(tmp_path, RECORDS))
    visitor.page.get_by_role("link", name="<b>c #1?").click()
    assert visitor.page.get_by_role("heading", level=1).inner_text() == "<b>c #1?"
    visitor.page.get_by_role("link", name="All cases").click()
    assert visitor.page.get_by_role("heading", level=1).inner_text() == "Pancreatic lesion report"


def test_a_thousand_cases_sort_at_once(visitor: Visitor, tmp_path: Path) -> None:
    records = [case(f"case{number:04d}", score=number / 1000, status="done") for number in range(1000)]
    output = OutputFolder(tmp_path)
    write_report(output, run_of(*records), records)
    visitor.page.goto((output.report_folder / "index.html").resolve().as_uri())
    visitor.page.get_by_role("button", name="score").click()
    assert names(visitor)[0] == "case0000"


def test_nothing_is_in_the_way_of_anybody(visitor: Visitor, tmp_path: Path) -> None:
    visitor.page.goto(write(tmp_path, RECORDS))
    assert visitor.violations() == []
    visitor.page.get_by_role("link", name="<b>c #1?").click()
    assert visitor.violations() == []

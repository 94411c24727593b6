"""What pages cost: a case's while it is computed, the cohort's of a thousand cases in a browser, a training's.

    python -m benchmarks.report --output work/report [--cases 6] [--rows 1000]

Pages of cases are made of clinical phantoms (512 x 512) that the shipped bundle computes, picture and page together,
while nothing else is computed; in a run they are made beside the next case, and take longer. The cohort's page shows
one of these records a thousand times under other names and scores. It is opened from the disk in Chromium without a
window and without a GPU, and sorted once: the time is from the call until the table shows another order. Pages of a
training, its fold's and that of all folds, are drawn anew after every epoch: here of five folds of a thousand epochs
and twenty curves. Phantoms are kept in the output folder and used again.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from ctcore.files import read_ct
from ctcore.inference.backends.choose import resolve
from ctcore.json_files import write_json
from ctcore.nnunet.training.course import Course, CourseWriter
from ctcore.nnunet.training.training_page import write_pages
from ctcore.phantom.cohort import write_cohort
from pipeline.bundle import DEMO_BUNDLE, load_bundle
from pipeline.case import process_case
from pipeline.clock import Clock
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions
from pipeline.report.case_page import write_case_page
from pipeline.report.figure import draw_case
from pipeline.report.page import write_report
from pipeline.run import run_cohort
from pipeline.run_record import RunRecord
from pipeline.stages import load_stages

SEED = 9601
FOLDS, EPOCHS, CURVES = 5, 1000, 20
MIB = 1 << 20


def compute(output: Path, cases: int) -> tuple[OutputFolder, Sequence[CaseRecord], list[float]]:
    """Computes phantoms with their report; then each by itself, for the seconds of its picture and page."""
    phantoms = output / f"phantoms-{cases}"
    if not phantoms.is_dir():
        write_cohort(phantoms, cases, SEED, size="clinical")
    folder = output / "run"
    shutil.rmtree(folder, ignore_errors=True)
    bundle, execution = load_bundle(DEMO_BUNDLE), resolve("cpu")
    load = partial(load_stages, bundle, execution)
    run = OutputFolder(folder)
    records = run_cohort(phantoms / "imagesTr", run, bundle, execution, RunOptions(), load=load).records
    stages, seconds = load(), []
    for record in records:
        result = process_case(read_ct(phantoms / "imagesTr" / record.image), stages, bundle, Clock())
        begin = time.perf_counter()
        draw_case(result, run.picture_path(record.case_id))
        write_case_page(run, record)
        seconds.append(time.perf_counter() - begin)
    return run, records, seconds


def cohort_page(run: OutputFolder, like: CaseRecord, output: Path, rows: int) -> Path:
    """Writes the page of a cohort of many cases like one."""
    many = [like.model_copy(update={"case_id": f"case_{n:05d}", "score": n / rows}) for n in range(rows)]
    target = OutputFolder(output / "cohort")
    for record in many:  # a page makes a link of a name
        page = target.case_page_path(record.case_id)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.touch()
    write_report(target, RunRecord.read(run.run_path), many)
    return target.report_folder / "index.html"


def open_and_sort(page: Path) -> float:
    """Returns the seconds until a page is there and sorted otherwise."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page()
        begin = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        tab.get_by_role("button", name="score").click()
        tab.wait_for_selector("#cases tbody tr:first-child th:has-text('case_00000')")
        seconds = time.perf_counter() - begin
        browser.close()
    return seconds


def draw_training(output: Path) -> float:
    """Returns the seconds that the pages of a long training take, median of 3."""
    results = output / "training"
    shutil.rmtree(results, ignore_errors=True)
    epochs = list(range(EPOCHS))
    folders = [results / "Dataset001_Long" / "Trainer__Plans__3d_fullres" / f"fold_{fold}" for fold in range(FOLDS)]
    for fold, folder in enumerate(folders):
        course = Course(recipe="long", fold=str(fold), epochs_at_most=EPOCHS, criterion="Dice", phantoms=True)
        course.epochs = epochs
        course.figures = {f"dice/label_{curve}": [math.sqrt(n / EPOCHS) for n in epochs] for curve in range(CURVES)}
        write_json(folder / "recipe.json", {"name": "long"})
        CourseWriter(folder, course, EPOCHS, {})
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        write_pages(folders[0])
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and returns 0 where every bound was kept to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args(arguments)
    run, done, seconds = compute(options.output, options.cases)
    sizes = [
        sum(path(record.case_id).stat().st_size for path in (run.case_page_path, run.picture_path)) for record in done
    ]
    longest = max(done, key=lambda record: len(record.model_dump_json()))
    page = cohort_page(run, longest, options.output, options.rows)
    opened = [open_and_sort(page) for _ in range(3)]
    bounds = [
        Bound("case", "seconds of a case's page, median", statistics.median(seconds), "at most", 1.0),
        Bound("case", "MiB of a case's page, largest", max(sizes) / MIB, "at most", 1.0),
        Bound("cohort", f"MiB of the page of {options.rows} cases", page.stat().st_size / MIB, "at most", 2.0),
        Bound("cohort", "seconds until it is open and sorted, median of 3", statistics.median(opened), "at most", 2.0),
    ]
    bounds.append(Bound("training", "seconds an epoch", draw_training(options.output), "at most", 1.0))
    print_bounds(bounds)
    in_run = [record.seconds["report"] for record in done]
    beside = {"case_seconds": seconds, "case_seconds_in_run": in_run, "case_mib": [size / MIB for size in sizes]}
    print_figures("beside", list(beside.items()))
    return closing(bounds, **beside)


if __name__ == "__main__":
    sys.exit(main())

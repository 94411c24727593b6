"""What the user sees: the progress of a run and the tables at its end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ctcore.console import progress_columns
from ctcore.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ctcore.dicom.scan import Unreadable
    from ctcore.evaluation.compare import Comparison
    from ctcore.evaluation.metrics import Metrics
    from ctcore.evaluation.statistics.bootstrap import Estimate
    from pipeline.records import CaseRecord
    from pipeline.run import RunSummary
    from pipeline.run_record import SeriesRecord

_PHASE_WORDS = {
    "read": "reading",
    "locate": "finding the pancreas",
    "predict": "segmenting and classifying",
    "detect": "lesion candidates",
    "measure": "measuring",
}


def console() -> Console:
    """Returns a console on today's stdout, which it keeps even where stdout is redirected afterwards."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=False)


class ProgressObserver:
    """Shows a run as a bar of cases with the time left and what is being done.

    Args:
        bar: a running progress display with the field `note`.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("cases", total=None, note="loading models")

    def started(self, pending: int, reused: int) -> None:
        """Sets the number of cases to compute."""
        if reused:
            self._bar.console.print(f"{reused} finished earlier and kept (--overwrite computes them again)")
        self._bar.update(self._task, total=pending, note="loading models" if pending else "")

    def phase(self, case_id: str, phase: str) -> None:
        """Shows which case is in which phase."""
        self._bar.update(self._task, note=f"{_escaped(case_id)}: {_PHASE_WORDS.get(phase, phase)}")

    def finished(self, record: CaseRecord) -> None:
        """Advances the bar and names a failed case at once."""
        if record.status == "failed":
            self._bar.console.print(
                f"[red]failed[/red] {_escaped(record.case_id)}: {_escaped(str(record.error))}", soft_wrap=True
            )
        self._bar.update(self._task, advance=1, note="")


@contextlib.contextmanager
def run_progress(out: Console) -> Iterator[ProgressObserver]:
    """Shows a run on a console for as long as the block lasts."""
    with progress_columns(out) as bar:
        yield ProgressObserver(bar)


def print_summary(out: Console, summary: RunSummary, longest: int = 40) -> None:
    """Prints the table at the end of a run; why a case failed was printed when it did.

    Args:
        out: where to.
        summary: the run.
        longest: cases shown at most; the rest is in `results.csv`.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for title in ("case", "status", "score", "class", "map max", "candidates", "flags", "seconds"):
        table.add_column(title, overflow="fold", no_wrap=title not in {"case", "flags"})
    for record in summary.records[:longest]:
        table.add_row(*_row(record, record.case_id in summary.reused))
    out.print(table)
    if len(summary.records) > longest:
        out.print(f"... and {len(summary.records) - longest} more in results.csv")
    done = len(summary.records) - len(summary.failed)
    out.print(f"{done} done, {len(summary.failed)} failed")


def _row(record: CaseRecord, reused: bool) -> Sequence[str]:
    from pipeline.records import DEMO_FLAG

    case_id, seconds = _escaped(record.case_id), f"{record.total_seconds:.1f}" if record.seconds else ""
    flags = ", ".join(flag for flag in record.flags if flag != DEMO_FLAG)  # the run's warning says it once for all
    if record.status == "failed":
        return case_id, "[red]failed[/red]", "", "", "", "", _escaped(flags), seconds
    return (
        case_id,
        "kept" if reused else "done",
        f"{record.score or 0.0:.3f}",
        _escaped(record.label or ""),
        f"{record.detection_max or 0.0:.3f}",
        str(len(record.candidates)),
        _escaped(flags),
        seconds,
    )


def _escaped(text: str) -> str:
    """Returns text in which square brackets are not taken for markup."""
    from rich.markup import escape

    return escape(text)


def print_series(
    out: Console,
    series: Sequence[SeriesRecord],
    descriptions: Mapping[tuple[str, int], str],
    unreadable: Sequence[Unreadable],
    longest: int | None = 40,
) -> None:
    """Prints the DICOM series of an input, a line each, and why each was chosen or not.

    Args:
        out: where to.
        series: all of them, cases first.
        descriptions: what each is called, by digest and part.
        unreadable: what could not be read.
        longest: lines at most; None: all.
    """
    colours = {"chosen": "green", "faulty": "red", "refused": "dim"}
    for record in series[:longest]:
        number = "" if record.number is None else f" {record.number}"
        part = f", part {record.part}" if record.part > 1 else ""
        called = printable(descriptions.get((record.series, record.part), ""))
        size = " x ".join(str(n) for n in (record.slices, *record.size))
        out.print(
            f"{record.verdict:8} {record.case_id or '-':16} study {record.study[:6]}, series{number}{part} '{called}',"
            f" {record.modality} {size}: {record.reason}",
            style=colours[record.verdict],
            markup=False,
            soft_wrap=True,
        )
    if longest is not None and len(series) > longest:
        out.print(f"... and {len(series) - longest} more series in run.json")
    for each in unreadable[:longest]:
        out.print(f"Warning: left out: {each.reason}", style="yellow", markup=False, soft_wrap=True)
    if longest is not None and len(unreadable) > longest:
        out.print(f"Warning: ... and {len(unreadable) - longest} more", style="yellow", markup=False)


def print_metrics(out: Console, metrics: Metrics) -> None:
    """Prints what an evaluation has found: AUROC and AP with their intervals, the counts, and its warnings."""
    from rich.table import Table

    table = Table("measure", "value", "95 % interval", "of")
    counts = metrics.counts
    table.add_row("AUROC", *_estimate(metrics.auroc), f"{counts.positive} positive, {counts.negative} negative cases")
    table.add_row("AP", *_estimate(metrics.ap), f"{counts.lesions} lesions, {counts.candidates} candidates")
    out.print(table)
    out.print(
        f"{counts.hits} lesions hit, {counts.missed} missed, {counts.false_positives} false positives,"
        f" {counts.ignored} further candidates on a lesion; {counts.failed} cases failed"
    )
    for warning in metrics.warnings:
        out.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def print_comparison(out: Console, comparison: Comparison) -> None:
    """Prints both results side by side, their differences, and what can be said of them."""
    from rich.table import Table

    out.print(f"A: {comparison.names[0]}", markup=False, soft_wrap=True)
    out.print(f"B: {comparison.names[1]}", markup=False, soft_wrap=True)
    table = Table("measure", "A", "B", "A - B", "95 % interval", "p", "test")
    for name, row in (("AUROC", comparison.auroc), ("AP", comparison.ap)):
        p = "undefined" if row.p_value is None else f"{row.p_value:.3g}"
        table.add_row(name, _estimate(row.first)[0], _estimate(row.second)[0], *_estimate(row.difference), p, row.test)
    out.print(table)
    verdict = f"{comparison.cases} cases, {comparison.positive} positive. AUROC: {comparison.auroc.verdict}."
    out.print(verdict, markup=False)
    out.print(f"AP: {comparison.ap.verdict}.", markup=False)
    for warning in comparison.warnings:
        out.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _estimate(estimate: Estimate) -> tuple[str, str]:
    value = "undefined" if estimate.value is None else f"{estimate.value:.3f}"
    return value, "none" if estimate.ci95 is None else f"{estimate.ci95[0]:.3f} to {estimate.ci95[1]:.3f}"

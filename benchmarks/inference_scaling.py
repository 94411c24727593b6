"""How time and memory grow with slices and with cases, and the picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.bounds import Bound
from benchmarks.flow import FlowRecord
from ctcore.durable import write_atomic
from ctcore.evaluation.report.figure import DOTS_PER_INCH, GRID_COLOUR, LINE_COLOUR, SECOND_COLOUR

SLICES = (100, 250, 800)
CASES = (1, 2, 4)
FEW_SLICES = SLICES[0]
WARM_CASES = 2
HEADROOM = 1.08
"""Height of the axes against what is drawn."""
MOST_GROWTH = 1.15
"""Cost by slice, or by case, of the most against that of the fewest; both meet different weather."""


class RunsOurs(Protocol):
    """Runs this project: `Bench.ours`."""

    def __call__(self, flow: str, slices: int, cases: int, /) -> FlowRecord:
        """Runs so many copies of a CT of so many slices."""


def measure_scaling(ours: RunsOurs, flow: str, output: Path) -> tuple[dict[str, Any], list[Bound]]:
    """Runs CTs of several numbers of slices, then several numbers of cases, and draws `inference_scaling.png`.

    Args:
        ours: runs this project.
        flow: `exact` or `guided`.
        output: folder for the picture.
    """
    ours(flow, FEW_SLICES, 1)  # compiles the networks
    by_slices = {slices: ours(flow, slices, WARM_CASES) for slices in SLICES}
    by_cases = {cases: ours(flow, FEW_SLICES, cases) for cases in CASES}
    figures = scaling_figures(by_slices, by_cases) | {"flow": flow}
    draw_scaling(output / "inference_scaling.png", figures)
    return figures, scaling_bounds(figures)


def scaling_figures(by_slices: Mapping[int, FlowRecord], by_cases: Mapping[int, FlowRecord]) -> dict[str, Any]:
    """Returns what is drawn.

    Args:
        by_slices: a run for each number of slices, its last case with ready networks.
        by_cases: a run for each number of cases of the same CT.
    """
    return {
        "slices": list(by_slices),
        "seconds_by_slices": [record.total for record in by_slices.values()],
        "seconds_around_by_slices": [record.around for record in by_slices.values()],
        "peak_gib_by_slices": [record.peak_gib for record in by_slices.values()],
        "cases": list(by_cases),
        "seconds_by_cases": [record.finished_seconds[-1] for record in by_cases.values()],
        "peak_gib_by_cases": [record.peak_gib for record in by_cases.values()],
    }


def scaling_bounds(figures: Mapping[str, Any]) -> list[Bound]:
    """Returns bounds on what one more slice and one more case cost: not more, the more there are.

    What every run or case costs once (starting, a network's windows) is no growth: costs are differences.
    """
    slices = _growth(figures["slices"], figures["seconds_around_by_slices"])
    cases = _growth(figures["cases"], figures["seconds_by_cases"])
    return [
        Bound("scaling", "a slice more, among many against few", slices, "at most", MOST_GROWTH),
        Bound("scaling", "a case more, among many against few", cases, "at most", MOST_GROWTH),
    ]


def _growth(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Returns the cost of one more between the two largest sizes, in that between the two smallest; None below 0."""
    first = (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])
    last = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return last / first if first > 0 else None


def draw_scaling(path: Path, figures: Mapping[str, Any]) -> None:
    """Draws seconds and peak memory, over slices on the left and over cases on the right.

    Args:
        path: PNG to write.
        figures: see `scaling_figures`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    seconds = ("seconds a case", "seconds of the run")
    for axes, over, name in zip(panels, ("slices", "cases"), seconds, strict=True):
        axes.set_xlabel(over, fontsize=9)
        axes.set_ylabel(name, fontsize=9, color=LINE_COLOUR)
        axes.grid(color=GRID_COLOUR, linewidth=0.6)
        axes.plot(figures[over], figures[f"seconds_by_{over}"], "o-", color=LINE_COLOUR)
        axes.set_xlim(left=0)
        axes.set_ylim(0, HEADROOM * max(figures[f"seconds_by_{over}"]))
        memory = axes.twinx()
        memory.plot(figures[over], figures[f"peak_gib_by_{over}"], "s--", color=SECOND_COLOUR)
        memory.set_ylabel("peak memory (GiB)", fontsize=9, color=SECOND_COLOUR)
        memory.set_ylim(0, HEADROOM * max(figures[f"peak_gib_by_{over}"]))
    panels[0].plot(
        figures["slices"], figures["seconds_around_by_slices"], "o:", color=LINE_COLOUR, label="around the networks"
    )
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")

    def write_to(partial: Path) -> None:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})

    write_atomic(path, write_to)

"""The picture of the systems study: what every system reaches, with its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctcore.durable import write_atomic
from ctcore.evaluation.report.figure import DOTS_PER_INCH, GRID_COLOUR, LINE_COLOUR, SECOND_COLOUR

PANELS = (
    ("AUROC", (("fused", "fused", "auroc"), ("head", "head", "auroc"), ("map", "map", "auroc"))),
    ("lesion AP", (("", "ap"),)),
    ("macro-F1", (("fused", "fused", "macro_f1"), ("head", "head", "macro_f1"))),
)
"""Title of each panel, and its series: name and place in `metrics.json`."""
COLOURS = (LINE_COLOUR, SECOND_COLOUR, "grey")
APART = 0.22
"""Distance of the series of one system, in rows."""


def draw_systems(path: Path, title: str, systems: Mapping[str, Mapping[str, Any]]) -> None:
    """Draws one row a system, one panel a measure: the value and its 95 % interval.

    Args:
        path: PNG to write.
        title: said above.
        systems: `metrics.json` by system, in the order of the rows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 1.1 + 0.5 * len(systems)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (name, series) in zip(panels, PANELS, strict=True):
        axes.set_title(name, fontsize=9)
        axes.grid(axis="x", color=GRID_COLOUR, linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for number, (label, *place) in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * APART
            for row, metrics in enumerate(systems.values()):
                estimate = metrics
                for part in place:
                    estimate = estimate[part]
                if estimate["value"] is None:
                    continue
                low, high = estimate["ci95"] or (estimate["value"],) * 2
                first = {"label": label} if label and row == 0 else {}
                axes.plot([low, high], [row + shift] * 2, color=COLOURS[number], linewidth=1.2)
                axes.plot(estimate["value"], row + shift, "o", color=COLOURS[number], markersize=4, **first)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=7, loc="lower left")
    panels[0].set_yticks(range(len(systems)), list(systems))
    panels[0].invert_yaxis()

    def write_to(partial: Path) -> None:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})

    write_atomic(path, write_to)

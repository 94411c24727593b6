"""The picture of an evaluation: ROC and precision-recall curves side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctcore.evaluation.metrics import Estimate, Metrics
from ctcore.evaluation.statistics.curves import Floats, PrecisionRecallCurve, RocCurve
from ctcore.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_COLOUR = "#1f5fa8"
GRID_COLOUR = "#d9d9d9"
DOTS_PER_INCH = 150


def plot_curves(
    path: Path, metrics: Metrics, roc: RocCurve | None, precision_recall: PrecisionRecallCurve | None
) -> None:
    """Draws both curves into a PNG, which appears complete or not at all.

    Args:
        path: the file.
        metrics: areas and counts for the titles.
        roc: None if it is undefined.
        precision_recall: None if it is undefined.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, and without pyplot's global state
    left, right = figure.subplots(1, 2)
    counts = metrics.counts

    _frame(left, "False positive rate (1 - specificity)", "Sensitivity")
    left.set_title(f"Patients: AUROC {_text(metrics.auroc)}\n{counts.positive} positive, {counts.negative} negative")
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    if roc is None:
        _undefined(left, "undefined: needs positive\nand negative cases")
    else:
        left.plot(roc.fpr, roc.tpr, color=LINE_COLOUR, linewidth=1.8)

    _frame(right, "Recall (lesions hit)", "Precision")
    right.set_title(f"Lesions: AP {_text(metrics.ap)}\n{counts.lesions} lesions, {counts.hits} hit")
    if precision_recall is None:
        _undefined(right, "undefined: the labels\nhold no lesion")
    else:
        recall, precision = _steps(precision_recall)
        right.plot(recall, precision, color=LINE_COLOUR, linewidth=1.8, drawstyle="steps-pre")
        right.fill_between(recall, precision, step="pre", color=LINE_COLOUR, alpha=0.12, linewidth=0)

    def write_to(partial: Path) -> None:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format="png")

    write_atomic(path, write_to)


def _steps(curve: PrecisionRecallCurve) -> tuple[Floats, Floats]:
    """Returns recall and precision of the thresholds above 0, which candidates can reach, from recall 0 on."""
    reached = curve.thresholds > 0
    recall, precision = curve.recall[reached], curve.precision[reached]
    return np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])


def _frame(axes: Axes, x_label: str, y_label: str) -> None:
    """Gives a panel its unit square."""
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    axes.grid(color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.title.set_fontsize(10)


def _undefined(axes: Any, reason: str) -> None:
    """Says in an empty panel why it is empty."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", color="grey")


def _text(estimate: Estimate) -> str:
    """Returns a number with its interval for a title."""
    if estimate.value is None:
        return "undefined"
    if estimate.ci95 is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} (95 % CI {estimate.ci95[0]:.3f} to {estimate.ci95[1]:.3f})"

"""Pictures of an evaluation: curves of the three sources, confusion matrices, and the worst cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.durable import write_atomic
from stage2_multitask.cohort import FUSED, HEAD, MAP, SOURCES, Cohort
from stage2_multitask.measure import MeasuredCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ctcore.evaluation.statistics.bootstrap import Estimate

WINDOW_HU = (-160.0, 240.0)
DOTS_PER_INCH = 120
CELL_INCHES = (3.4, 3.2)
COLUMNS = 3
COLOURS = {"lesion": "#ff6b6b", "predicted lesion": "#ffd43b"}
DETECTION_ALPHA = 0.45
TITLES = {HEAD: "head alone", MAP: "map alone", FUSED: "fused"}


@dataclass(frozen=True, eq=False)
class CaseView:
    """What the picture shows of a case: one axial slice in LPS order.

    Attributes:
        case: its figures.
        ct: (rows, columns) HU.
        lesion, predicted: (rows, columns) true and segmented lesion.
        detection: (rows, columns) detection map.
        aspect: height of a voxel in its width.
    """

    case: MeasuredCase
    ct: npt.NDArray[np.float32]
    lesion: npt.NDArray[np.bool_]
    predicted: npt.NDArray[np.bool_]
    detection: npt.NDArray[np.float32]
    aspect: float


def view_of(
    case: MeasuredCase,
    ct: npt.NDArray[Any],
    lesion: npt.NDArray[np.bool_],
    predicted: npt.NDArray[np.bool_],
    detection: npt.NDArray[np.float32],
    spacing_zyx: tuple[float, float, float],
) -> CaseView:
    """Takes the slice that tells most of a case: of most lesion, else of most candidate, else the middle one.

    Args:
        case: its figures.
        ct: (z, y, x) HU.
        lesion: (z, y, x) true lesion.
        predicted: (z, y, x) segmented lesion.
        detection: (z, y, x) detection map.
        spacing_zyx: spacing (z, y, x) in mm.
    """
    z = ct.shape[0] // 2
    for mask in (lesion, detection > 0):
        if mask.any():
            z = int(np.argmax(mask.sum(axis=(1, 2))))
            break
    return CaseView(
        case,
        ct[z].astype(np.float32),
        lesion[z].copy(),
        predicted[z].copy(),
        detection[z].copy(),
        spacing_zyx[1] / spacing_zyx[2],
    )


def draw_worst(views: Sequence[CaseView], notice: str, path: Path) -> None:
    """Draws cases, worst first, and writes them as one PNG, complete or not at all.

    Args:
        views: the cases; one at least.
        notice: what must be said of the model.
        path: where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(COLUMNS, len(views))
    rows = -(-len(views) // columns)
    figure = Figure(figsize=(CELL_INCHES[0] * columns, CELL_INCHES[1] * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, and without pyplot's global state
    figure.set_facecolor("black")
    figure.suptitle(notice, color="white", fontsize=7, wrap=True)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.set_axis_off()
    for cell, view in zip(cells, views, strict=False):
        _draw(cell, view)
    lines = [Line2D([], [], color=colour, label=name) for name, colour in COLOURS.items()]
    lines.append(Line2D([], [], color="#ff8c00", linewidth=5, alpha=DETECTION_ALPHA, label="candidates"))
    figure.legend(handles=lines, loc="outside lower center", ncols=3, labelcolor="white", frameon=False, fontsize=8)

    def write_to(partial: Path) -> None:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format="png", facecolor="black", metadata={"Software": None})

    write_atomic(path, write_to)


def _draw(cell: Axes, view: CaseView) -> None:
    low, high = WINDOW_HU
    cell.imshow(view.ct, cmap="gray", vmin=low, vmax=high, interpolation="bilinear", aspect=view.aspect)
    shown = np.ma.masked_equal(view.detection, 0)
    cell.imshow(
        shown, cmap="autumn", vmin=0, vmax=1, alpha=DETECTION_ALPHA, interpolation="nearest", aspect=view.aspect
    )
    for mask, colour in zip((view.lesion, view.predicted), COLOURS.values(), strict=True):
        if mask.any() and not mask.all():
            cell.contour(mask, levels=[0.5], colors=colour, linewidths=0.9)
    record, match = view.case.record, view.case.record.match
    lesions = f"{match.n_lesions - match.n_missed} of {match.n_lesions} lesions hit" if match.n_lesions else "no lesion"
    cell.set_title(
        f"{record.case_id}: {record.class_name}, called {record.predicted_class}\n"
        f"score {record.score:.2f}, map {match.detection_max:.2f}, {lesions}",
        color="white",
        fontsize=7,
        loc="left",
    )


def draw_plots(folder: Path, cohort: Cohort, metrics: Mapping[str, Any]) -> list[str]:
    """Draws curves and confusion matrices as PNG and SVG; returns their names, in the order in which to show them.

    Args:
        folder: where to.
        cohort: the cases.
        metrics: their figures, as `metrics.json` holds them.
    """
    from ctcore.evaluation.report import plots
    from ctcore.evaluation.report.figure import save_plot
    from ctcore.evaluation.statistics.calibration import reliability_curve
    from ctcore.evaluation.statistics.curves import froc_curve, precision_recall_curve

    counts = metrics["counts"]
    findings = [finding for record in cohort.records for finding in record.match.findings]
    curve, froc = precision_recall_curve(findings), froc_curve(findings, counts["cases"])
    pictures: dict[str, Callable[[Axes], None]] = {
        "roc": lambda axes: _draw_rocs(axes, cohort, metrics),
        "precision_recall": lambda axes: plots.draw_precision_recall(
            axes, curve, plots.estimate_of(metrics["ap"]), counts["lesions"], counts["hits"]
        ),
        "froc": lambda axes: plots.draw_froc(axes, froc, counts["lesions"], counts["cases"]),
    }
    for source in SOURCES:
        table = cohort.class_table(source)
        if table is not None:

            def confusion(axes: Axes, table: Any = table, source: str = source) -> None:
                plots.draw_confusion(axes, table.names, table.confusion)
                axes.set_title(f"Confusion, {TITLES[source]}: {len(cohort.cases)} cases", fontsize=10)

            pictures[f"confusion_{source}"] = confusion
    if cohort.tells_presence:
        reliability = reliability_curve(cohort.lesion_scores(FUSED), cohort.positive)
        brier, ece = (plots.estimate_of(metrics[FUSED][name]) for name in ("brier", "ece"))
        pictures["reliability"] = lambda axes: plots.draw_reliability(axes, reliability, brier, ece)
    for name, draw in pictures.items():
        save_plot(folder, name, draw)
    return list(pictures)


def _draw_rocs(axes: Axes, cohort: Cohort, metrics: Mapping[str, Any]) -> None:
    """Draws the ROC curves of the three sources; where every class has a lesion, of each class's fused score."""
    from ctcore.evaluation.report.plots import draw_rocs, estimate_of
    from ctcore.evaluation.statistics.curves import RocCurve, roc_curve

    curves: dict[str, tuple[RocCurve | None, Estimate]] = {}
    if cohort.tells_presence:
        for source in SOURCES:
            curve = roc_curve(cohort.lesion_scores(source), cohort.positive)
            curves[TITLES[source]] = (curve, estimate_of(metrics[source]["auroc"]))
        draw_rocs(axes, "Lesion against no lesion", curves)
        return
    scores = cohort.class_scores(FUSED)
    if scores is not None:
        for k, name in enumerate(cohort.class_names):
            of_class = metrics[FUSED]["one_vs_rest"]["auroc"][name]
            curves[name] = (roc_curve(scores[:, k], cohort.true == k), estimate_of(of_class))
    draw_rocs(axes, "Fused score, each class against the rest", curves)

"""A picture of the worst cases: CT, true and predicted masks, ROI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ctcore.durable import write_atomic
from stage1_localizer.margins import Millimetres
from stage1_localizer.measure import CaseMasks, LocatedCase, case_roi, figures_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_HU = (-160.0, 240.0)
DOTS_PER_INCH = 120
CELL_INCHES = (3.2, 2.8)
COLOURS = {"pancreas": "#4dabf7", "lesion": "#ff6b6b", "found": "#ffd43b", "roi": "#ffffff"}


@dataclass(frozen=True, eq=False)
class Projection:
    """One view of a case in LPS order: a CT slice, with masks projected onto it.

    Attributes:
        ct: (rows, columns) HU, the slice through the middle of the true pancreas (of the scan where there is none).
        masks: (rows, columns) by name: `pancreas`, `lesion` and `found`; true where any slice holds the structure.
        axes: array axes (0 z, 1 y, 2 x) that rows and columns run along.
    """

    ct: npt.NDArray[np.float32]
    masks: dict[str, npt.NDArray[np.bool_]]
    axes: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CaseView:
    """What the picture shows of a case: an axial and a coronal projection."""

    case: LocatedCase
    projections: tuple[Projection, Projection]


def view_of(case: LocatedCase, masks: CaseMasks) -> CaseView:
    """Takes the two projections of a case; a copy, so that the volume itself can go."""
    shape = case.geometry.shape
    middle = [n // 2 for n in shape]
    if case.tight is not None:
        middle = [(a + b - 1) // 2 for a, b in zip(case.tight.start, case.tight.stop, strict=True)]
    structures = {"pancreas": masks.pancreas, "lesion": masks.lesion, "found": masks.found}

    def project(along: int) -> Projection:
        rows, columns = (axis for axis in range(3) if axis != along)
        return Projection(
            np.take(masks.ct.array, middle[along], axis=along).astype(np.float32),
            {name: np.asarray(mask.any(axis=along)) for name, mask in structures.items()},
            (rows, columns),
        )

    return CaseView(case, (project(0), project(1)))


def draw_worst(views: Sequence[CaseView], margin_mm: Millimetres, path: Path) -> None:
    """Draws cases, two to a row, each axial and coronal, and writes them as one PNG, complete or not at all.

    Args:
        views: the cases, worst first; one at least.
        margin_mm: margin (z, y, x) of the ROI that is drawn.
        path: where to.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = 4 if len(views) > 1 else 2
    rows = -(-2 * len(views) // columns)
    figure = Figure(figsize=(CELL_INCHES[0] * columns, CELL_INCHES[1] * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, and without pyplot's global state
    figure.set_facecolor("black")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.set_axis_off()
    for number, view in enumerate(views):
        for part, projection in enumerate(view.projections):
            _draw(cells[2 * number + part], view.case, projection, margin_mm)
        cells[2 * number].set_title(_caption(view.case, margin_mm), color="white", fontsize=8, loc="left")
    names = {"pancreas": "true pancreas", "lesion": "lesion", "found": "found", "roi": "ROI"}
    lines = [Line2D([], [], color=COLOURS[key], label=name) for key, name in names.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=4, labelcolor="white", frameon=False, fontsize=8)

    def write_to(partial: Path) -> None:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format="png", facecolor="black", metadata={"Software": None})

    write_atomic(path, write_to)


def _caption(case: LocatedCase, margin_mm: Millimetres) -> str:
    figures = figures_of(case, margin_mm)
    parts = [f"{case.case_id}{'' if case.found else ' (fallback)'}"]
    for name, share in (("lesion", figures.lesion_in_roi), ("pancreas", figures.pancreas_in_roi)):
        if share is not None:
            parts.append(f"{name} {100 * share:.1f} %")
    return ", ".join(parts)


def _draw(cell: Axes, case: LocatedCase, projection: Projection, margin_mm: Millimetres) -> None:
    from matplotlib.patches import Rectangle

    row_axis, column_axis = projection.axes
    spacing = case.geometry.spacing_zyx
    upright = row_axis == 0  # coronal: the head, which has the last index, is shown on top
    height, width = (n * spacing[axis] for n, axis in zip(projection.ct.shape, projection.axes, strict=True))
    extent = (0.0, width, 0.0, height) if upright else (0.0, width, height, 0.0)
    low, high = WINDOW_HU
    cell.imshow(
        projection.ct,
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=extent,
        origin="lower" if upright else "upper",
        interpolation="bilinear",
    )
    across = (np.arange(projection.ct.shape[1]) + 0.5) * spacing[column_axis]
    along = (np.arange(projection.ct.shape[0]) + 0.5) * spacing[row_axis]
    for name, mask in projection.masks.items():
        if mask.any() and not mask.all():
            cell.contour(across, along, mask, levels=[0.5], colors=COLOURS[name], linewidths=0.9)
    roi = case_roi(case, margin_mm)
    corner = (roi.start[column_axis] * spacing[column_axis], roi.start[row_axis] * spacing[row_axis])
    size = (roi.shape[column_axis] * spacing[column_axis], roi.shape[row_axis] * spacing[row_axis])
    cell.add_patch(Rectangle(corner, *size, fill=False, edgecolor=COLOURS["roi"], linewidth=0.9, linestyle="--"))

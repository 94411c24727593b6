"""The picture of a case: three planes through the strongest candidate, and slices through all of it.

Colours are told apart by colour-blind readers too (Okabe and Ito's), outlines by their place as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import values_of
from ctcore.durable import write_atomic
from pipeline.case import CaseResult
from pipeline.quality import pancreas_region
from pipeline.report.colours import ARTERIES, BACKGROUND, PANCREAS, ROI, VEINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_HU = (-160.0, 240.0)
"""Soft-tissue window: level 40, width 400 HU."""
DOWN = slice(None, None, -1)
"""From the head down, as rows are shown."""
STRIP = 5
"""Slices through the candidate."""

DETECTION_ALPHA = 0.55

FAST = {"compress_level": 1}
"""Two thirds of the drawing's time, for files a sixth larger."""

WIDTH_INCHES, DPI = 9.0, 100
HIGHEST_INCHES, LOWEST_INCHES = 6.0, 0.8
"""Of a row: ROIs may be flat or tall."""

Index = tuple[int, int, int]
Array = npt.NDArray[Any]


def shown_slice(result: CaseResult) -> int:
    """Returns the axial slice (index of the LPS grid) that tells most of a case."""
    return result.box.start[0] + shown_voxel(result)[0]


def shown_voxel(result: CaseResult) -> Index:
    """Returns the voxel (z, y, x) of the ROI that the planes run through.

    It is in the middle of the most confident voxels, in the slice where they cover most; without a candidate, of the
    pancreas in the slice with most of it; without that, of the ROI.
    """
    if result.detection_max > 0:
        return _middle(result.detection == result.detection.max())
    pancreas = pancreas_of(result)
    depth, height, width = result.box.shape
    return _middle(pancreas) if pancreas.any() else (depth // 2, height // 2, width // 2)


def strip_slices(result: CaseResult) -> list[int]:
    """Returns slices of the ROI, evenly through the strongest candidate, or else the pancreas, or else the ROI."""
    z, y, x = shown_voxel(result)
    number = int(result.candidate_labels[z, y, x])
    shown = result.candidate_labels == number if number else pancreas_of(result)
    there = np.flatnonzero(shown.any(axis=(1, 2)))
    first, last = (int(there[0]), int(there[-1])) if there.size else (0, result.box.shape[0] - 1)
    return sorted({round(place) for place in np.linspace(first, last, STRIP)})


def pancreas_of(result: CaseResult) -> npt.NDArray[np.bool_]:
    """Returns where on the ROI (z, y, x) gland, duct or a lesion in it are segmented, or else the localizer's gland."""
    return pancreas_region(result.labels, result.segmentation_labels, result.pancreas)


def outlines_of(result: CaseResult) -> list[tuple[npt.NDArray[np.bool_], str]]:
    """Returns what is outlined on the ROI (z, y, x), each with its colour."""
    found = [(pancreas_of(result), PANCREAS)]
    for name, colour in (("veins", VEINS), ("arteries", ARTERIES)):
        values = values_of(result.segmentation_labels, (name,))
        if result.labels is not None and values:
            found.append((np.isin(result.labels, values), colour))
    return found


def draw_case(result: CaseResult, path: Path) -> None:
    """Draws a case as a PNG: the whole axial slice and the ROI of it; coronal and sagittal; a strip of axial slices.

    The patient's right is on the left, the front at the top of axial slices and on the left of sagittal ones.

    Args:
        result: the case.
        path: the file to write, complete or not at all.
    """
    z, y, x = shown_voxel(result)
    dz, dy, dx = result.ct.geometry.spacing_zyx
    depth, height, width = (
        size * spacing for size, spacing in zip(result.box.shape, result.ct.geometry.spacing_zyx, strict=True)
    )
    whole = result.ct.array[result.box.start[0] + z]
    high, wide = whole.shape[0] * dy, whole.shape[1] * dx
    rows = [
        [wide / high, width / height],
        [width / depth, height / depth],
        [width / height] * len(strip_slices(result)),
    ]
    columns = [STRIP * width / height if number == 2 else sum(row) for number, row in enumerate(rows)]
    figure, places = sheet(rows, columns)
    roi, detection, outlines = result.ct.array[result.box.slices], result.detection, outlines_of(result)

    def panel(row: int, column: int, plane: tuple[Any, ...], spacing: tuple[float, float], words: str) -> Axes:
        axes = axes_of(figure, places[row], column, words)
        _show(axes, roi[plane], detection[plane], [(mask[plane], colour) for mask, colour in outlines], spacing)
        return axes

    _show_whole(axes_of(figure, places[0], 0), whole, result, z)
    panel(0, 1, (z,), (dy, dx), "axial")
    panel(1, 0, (DOWN, y), (dz, dx), "coronal")
    panel(1, 1, (DOWN, slice(None), x), (dz, dy), "sagittal")
    for column, place in enumerate(strip_slices(result)):
        panel(2, column, (place,), (dy, dx), height_of(result, place))
    save_figure(figure, path)


def sheet(rows: Sequence[Sequence[float]], widths: Sequence[float]) -> tuple[Figure, list[Any]]:
    """Returns an empty picture with rows of panels, and the grid of each row.

    Args:
        rows: of each row, its panels' widths, in units of its height.
        widths: of each row, the width of all that fits into it, in the same units.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inches = [float(np.clip(WIDTH_INCHES / width, LOWEST_INCHES, HIGHEST_INCHES)) for width in widths]
    figure = Figure(figsize=(WIDTH_INCHES, sum(inches)), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(rows), 1, height_ratios=inches, left=0, right=1, bottom=0, top=1, hspace=0.01)
    places = [grid[n, 0].subgridspec(1, len(row), width_ratios=row, wspace=0.01) for n, row in enumerate(rows)]
    return figure, places


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a picture as a PNG, complete or not at all."""

    def save(partial: Path) -> None:
        figure.savefig(partial, format="png", facecolor=BACKGROUND, pil_kwargs=FAST)

    write_atomic(path, save)


def height_of(result: CaseResult, place: int) -> str:
    """Returns where a slice of the ROI lies, in words: its LPS z."""
    z, y, x = result.box.start
    return f"z {result.ct.geometry.index_to_physical((z + place, y, x))[2]:.0f} mm"


def _middle(mask: npt.NDArray[np.bool_]) -> Index:
    """Returns the voxel of a mask next to its middle, in the slice where it covers most."""
    z = int(np.argmax(mask.sum(axis=(1, 2))))
    places = np.argwhere(mask[z])
    y, x = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    return z, int(y), int(x)


def axes_of(figure: Figure, grid: Any, column: int, words: str = "") -> Axes:
    """Returns axes without a frame, with words in a corner, in a column of a row of panels."""
    axes = figure.add_subplot(grid[0, column])
    axes.set_axis_off()
    axes.text(0.01, 0.98, words, transform=axes.transAxes, color="white", fontsize=8, va="top")
    return axes


def _show(
    axes: Axes,
    ct: Array,
    detection: Array,
    outlines: list[tuple[Array, str]],
    spacing: tuple[float, float],
) -> None:
    """Shows a plane: CT (rows, columns), detection map, outlines; spacing in mm of rows and columns."""
    show_plane(axes, ct, outlines)
    shown = np.ma.masked_less_equal(detection, 0)
    axes.imshow(shown, cmap="autumn", vmin=0, vmax=1, alpha=DETECTION_ALPHA, interpolation="nearest")
    axes.set_aspect(spacing[0] / spacing[1])


def show_plane(axes: Axes, ct: Array, outlines: list[tuple[Array, str]]) -> None:
    """Shows a plane of a CT (rows, columns) and outlines, each with its colour."""
    from matplotlib.collections import LineCollection
    from skimage.measure import find_contours

    axes.imshow(ct, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="bilinear")
    for mask, colour in outlines:
        if mask.any() and min(mask.shape) > 1:
            found = find_contours(mask.astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
            lines = [line[:, ::-1] for line in found]
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.0), autolim=False)


def _show_whole(axes: Axes, ct: Array, result: CaseResult, z: int) -> None:
    """Shows a whole axial slice with the ROI's border; z: its place in the ROI."""
    inside = result.box.slices[1:]
    detection = np.zeros(ct.shape, np.float32)
    detection[inside] = result.detection[z]
    outlines = []
    for mask, colour in outlines_of(result):
        pasted = np.zeros(ct.shape, dtype=bool)
        pasted[inside] = mask[z]
        outlines.append((pasted, colour))
    _, dy, dx = result.ct.geometry.spacing_zyx
    _show(axes, ct, detection, outlines, (dy, dx))
    (_, top, left), (_, bottom, right) = result.box.start, result.box.stop
    x, y = [left - 0.5, right - 0.5], [top - 0.5, bottom - 0.5]
    axes.plot([x[0], x[1], x[1], x[0], x[0]], [y[0], y[0], y[1], y[1], y[0]], color=ROI, linewidth=1.2, linestyle="--")

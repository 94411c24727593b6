"""The picture of a case: the axial slice through the strongest candidate, with ROI, pancreas and detection map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.datasets.label_names import PANCREAS_PARTS, values_of
from ctcore.files import write_atomic
from ctcore.geometry import Box
from pipeline.case import CaseResult

WINDOW_HU = (-160.0, 240.0)
"""Soft-tissue window: level 40, width 400 HU."""

ROI_COLOUR = "#4ea1ff"
PANCREAS_COLOUR = "#37d67a"
BACKGROUND = "#0b0f14"
DETECTION_ALPHA = 0.55

_WIDTH_INCHES, _DPI = 9.0, 100


def shown_slice(result: CaseResult) -> int:
    """Returns the axial slice (index of the LPS grid) that tells most of a case.

    It runs through the most confident voxels where they cover most; without a candidate, through the slice with most
    pancreas; without that, through the middle of the ROI.
    """
    start = result.box.start[0]
    if result.detection_max > 0:
        strongest = result.detection == result.detection.max()
        return start + int(np.argmax(strongest.sum(axis=(1, 2))))
    pancreas = pancreas_of(result)
    if pancreas.any():
        return start + int(np.argmax(pancreas.sum(axis=(1, 2))))
    return start + result.box.shape[0] // 2


def pancreas_of(result: CaseResult) -> npt.NDArray[np.bool_]:
    """Returns where on the ROI (z, y, x) gland, duct or a lesion in it are segmented, or else the localizer's gland."""
    if result.labels is None:
        return np.asarray(result.pancreas != 0)
    return np.isin(result.labels, values_of(result.segmentation_labels, PANCREAS_PARTS))


def draw_case(result: CaseResult, path: Path) -> None:
    """Draws a case as a PNG: the whole slice on the left, the ROI on the right.

    The patient's right is on the left and the front is at the top.

    Args:
        result: the case.
        path: the file to write, complete or not at all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    z = shown_slice(result)
    inside = z - result.box.start[0]
    ct = result.ct.array[z]
    spacing = result.ct.geometry.spacing_zyx
    detection = _on_slice(result.detection[inside], result.box, ct.shape, np.nan)
    pancreas = _on_slice(pancreas_of(result)[inside], result.box, ct.shape, 0)

    box = result.box
    roi_ratio = (box.shape[1] * spacing[1]) / (box.shape[2] * spacing[2])
    whole_ratio = (ct.shape[0] * spacing[1]) / (ct.shape[1] * spacing[2])
    height = _WIDTH_INCHES / (1 / whole_ratio + 1 / roi_ratio)  # both panels equally high, side by side
    height = float(np.clip(height, 2.0, 6.0))
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        1, 2, width_ratios=(1 / whole_ratio, 1 / roi_ratio), left=0, right=1, bottom=0, top=1, wspace=0.01
    )
    limits = (
        ((-0.5, ct.shape[1] - 0.5), (ct.shape[0] - 0.5, -0.5)),
        ((box.start[2] - 0.5, box.stop[2] - 0.5), (box.stop[1] - 0.5, box.start[1] - 0.5)),
    )
    for column, (x_limits, y_limits) in enumerate(limits):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(ct, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="bilinear")
        shown = np.ma.masked_invalid(np.where(detection > 0, detection, np.nan))
        axes.imshow(shown, cmap="autumn", vmin=0, vmax=1, alpha=DETECTION_ALPHA, interpolation="nearest")
        if pancreas.any():
            axes.contour(pancreas, levels=[0.5], colors=PANCREAS_COLOUR, linewidths=1.0)
        if column == 0:
            x, y = [(box.start[2] - 0.5), (box.stop[2] - 0.5)], [(box.start[1] - 0.5), (box.stop[1] - 0.5)]
            axes.plot([x[0], x[1], x[1], x[0], x[0]], [y[0], y[0], y[1], y[1], y[0]], color=ROI_COLOUR, linewidth=1.2)
        axes.set_xlim(*x_limits)
        axes.set_ylim(*y_limits)
        axes.set_aspect(spacing[1] / spacing[2])
        axes.set_axis_off()

    def save(partial: Path) -> None:
        figure.savefig(partial, format="png", facecolor=BACKGROUND)

    write_atomic(path, save)


def _on_slice(array: npt.NDArray[Any], box: Box, shape: tuple[int, ...], fill: float) -> npt.NDArray[np.float64]:
    """Returns a (y, x) array of the ROI's slice on the whole slice."""
    whole = np.full(shape, fill, dtype=np.float64)
    whole[box.slices[1:]] = array
    return whole

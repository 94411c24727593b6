"""The picture of a case's evidence: three planes through its peak, and the slices of the strongest candidate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.case import CaseResult
from pipeline.evidence import MAIN_CANDIDATE, Evidence
from pipeline.report.colours import DETECTION, EVIDENCE_MAP, PANCREAS
from pipeline.report.figure import (
    DOWN,
    STRIP,
    axes_of,
    height_of,
    pancreas_of,
    save_figure,
    sheet,
    show_plane,
    strip_slices,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVIDENCE_ALPHA = 0.75
OPAQUE_FROM = 0.5
"""From this value on the map is as opaque as it gets; below it fades to nothing, and the CT shows."""


def draw_evidence(result: CaseResult, evidence: Evidence, path: Path) -> None:
    """Draws the evidence on the ROI as a PNG, with the pancreas and the most confident candidate outlined.

    The patient's right is on the left, the front at the top of axial slices and on the left of sagittal ones.

    Args:
        result: the case.
        evidence: what is drawn.
        path: the file to write, complete or not at all.
    """
    dz, dy, dx = result.ct.geometry.spacing_zyx
    depth, height, width = (
        size * spacing for size, spacing in zip(result.box.shape, result.ct.geometry.spacing_zyx, strict=True)
    )
    rows = [[width / height, width / depth, height / depth], [width / height] * len(strip_slices(result))]
    figure, places = sheet(rows, [sum(rows[0]), STRIP * width / height])
    roi, outlines = result.ct.array[result.box.slices], [(pancreas_of(result), PANCREAS)]
    outlines.append((result.candidate_labels == MAIN_CANDIDATE, DETECTION))

    def panel(row: int, column: int, plane: tuple[Any, ...], spacing: tuple[float, float], words: str) -> None:
        axes = axes_of(figure, places[row], column, words)
        show_plane(axes, roi[plane], [(mask[plane], colour) for mask, colour in outlines])
        _overlay(axes, evidence.map[plane])
        axes.set_aspect(spacing[0] / spacing[1])

    z, y, x = (int(n) for n in np.unravel_index(int(evidence.map.argmax()), evidence.map.shape))
    panel(0, 0, (z,), (dy, dx), "axial")
    panel(0, 1, (DOWN, y), (dz, dx), "coronal")
    panel(0, 2, (DOWN, slice(None), x), (dz, dy), "sagittal")
    for column, place in enumerate(strip_slices(result)):
        panel(1, column, (place,), (dy, dx), height_of(result, place))
    save_figure(figure, path)


def _overlay(axes: Axes, values: npt.NDArray[np.float32]) -> None:
    """Lays a plane of the map (rows, columns), 0 to 1, over the CT."""
    alpha = EVIDENCE_ALPHA * np.minimum(values / OPAQUE_FROM, 1)
    axes.imshow(values, cmap=EVIDENCE_MAP, vmin=0, vmax=1, alpha=alpha, interpolation="nearest")

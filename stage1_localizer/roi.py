"""From a pancreas mask to a region of interest, and what to do when there is no mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctcore.bspline import index_of_centre
from ctcore.geometry import Box
from ctcore.volume import Geometry

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)

BODY_THRESHOLD_HU = -300.0
"""Between fat (about -100 HU) and air or lung: what lies above it, outside the table, is body."""

FALLBACK_Z = (0.08, 0.93)
FALLBACK_Y = (0.10, 0.75)
FALLBACK_X = (0.20, 0.92)
"""Prior of the pancreas inside the body's box, as fractions from feet to head, front to back, right to left: generous,
because it is used only when the network found nothing. The heights hold every pancreas of 50 real scans (0.14 to 0.90
of the scan, of the upper abdomen or of the whole trunk), the others every one of 40 phantoms around real label maps
(0.15 to 0.70, 0.31 to 0.88), with a reserve."""


def largest_component(mask: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns the largest 26-connected component of a (z, y, x) mask; an empty mask stays empty."""
    components, count = ndimage.label(mask, structure=CONNECTIVITY_26)
    if count == 0:
        return np.zeros(mask.shape, dtype=bool)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.asarray(components == sizes.argmax())


def largest_cluster(
    mask: npt.NDArray[Any], spacing_zyx: tuple[float, float, float], bridge_mm: float
) -> npt.NDArray[np.bool_]:
    """Returns the voxels of the largest cluster of components of a (z, y, x) mask.

    At low resolution a thin, atrophic or fatty gland falls into pieces, of which the largest component is only one.
    Pieces whose gap is at most `bridge_mm` (between voxel centres, up to about a voxel more) count as one cluster; its
    size is that of the mask's own voxels.
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=bool)
    near = ndimage.distance_transform_edt(mask == 0, sampling=spacing_zyx) <= bridge_mm / 2
    clusters, _ = ndimage.label(near, structure=CONNECTIVITY_26)
    clusters[mask == 0] = 0
    sizes = np.bincount(clusters.ravel())
    sizes[0] = 0
    return np.asarray(clusters == sizes.argmax())


def scale_box(box: Box, source: tuple[int, int, int], target: tuple[int, int, int]) -> Box:
    """Takes a box of a `source` grid (z, y, x) to the `target` grid over the same field of view, never shrinking it."""
    start = [int(np.floor(a * n / m)) for a, n, m in zip(box.start, target, source, strict=True)]
    stop = [int(np.ceil(b * n / m)) for b, n, m in zip(box.stop, target, source, strict=True)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])).clip(target)


def roi_box(mask: npt.NDArray[Any], geometry: Geometry, margin_mm: tuple[float, float, float]) -> Box | None:
    """Returns the ROI on the grid of the CT.

    Args:
        mask: pancreas (z, y, x) on any grid over the CT's field of view.
        geometry: the CT's grid.
        margin_mm: margin (z, y, x) in mm.

    Returns:
        The mask's box plus the margin, clipped to the CT; None if the mask is empty.
    """
    tight = Box.of_mask(mask)
    if tight is None:
        return None
    shape = (mask.shape[0], mask.shape[1], mask.shape[2])
    box = scale_box(tight, shape, geometry.shape)
    return box.expand_mm(margin_mm, geometry.spacing_zyx).clip(geometry.shape)


def centre_roi_box(
    mask: npt.NDArray[Any], grid: Geometry, geometry: Geometry, margin_mm: tuple[float, float, float]
) -> Box | None:
    """Returns the ROI as the PANORAMA baseline cuts it: from voxel centres, the margin in whole voxels that it holds.

    Args:
        mask: pancreas (z, y, x).
        grid: the mask's grid.
        geometry: the CT's grid.
        margin_mm: margin (z, y, x) in mm.

    Returns:
        The box, clipped to the CT; None if the mask is empty.
    """
    tight = Box.of_mask(mask)
    if tight is None:
        return None
    end = tight.stop
    first = index_of_centre(tight.start, grid, geometry)
    last = index_of_centre((end[0] - 1, end[1] - 1, end[2] - 1), grid, geometry)
    start, stop = [], []
    for axis, (spacing, length) in enumerate(zip(geometry.spacing_zyx, geometry.shape, strict=True)):
        margin = int(margin_mm[axis] / spacing)
        low = min(max(first[axis] - margin, 0), length - 1)
        start.append(low)
        stop.append(max(min(last[axis] + margin, length), low + 1))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def touches_border(mask: npt.NDArray[Any]) -> bool:
    """Tells whether a (z, y, x) mask reaches the first or last slice, row or column: the field of view may cut it."""
    return any(bool(np.take(mask, face, axis).any()) for axis in range(3) for face in (0, -1))


def fallback_box(hounsfield: npt.NDArray[Any]) -> Box:
    """Returns where a pancreas must lie in a CT in LPS order, from the body's outline alone.

    Args:
        hounsfield: CT (z, y, x) in LPS order.
    """
    body = largest_component(ndimage.binary_opening(hounsfield > BODY_THRESHOLD_HU, structure=CONNECTIVITY_26))
    outline = Box.of_mask(body) or Box.whole((hounsfield.shape[0], hounsfield.shape[1], hounsfield.shape[2]))
    start, stop = [], []
    for axis, (low, high) in enumerate((FALLBACK_Z, FALLBACK_Y, FALLBACK_X)):
        size = outline.shape[axis]
        first = outline.start[axis] + int(np.floor(low * size))
        start.append(first)
        stop.append(max(first + 1, outline.start[axis] + int(np.ceil(high * size))))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

"""Noise of a CT, measured where it is homogeneous soft tissue.

The standard deviation inside small squares of a slice is that of the noise where the square lies in one organ, and more
where it holds an edge. Its most frequent value over many squares is therefore the noise, whatever else the image shows:
the idea of the global noise level (Christianson et al., "Automated Technique to Measure Noise in Clinical CT
Examinations", AJR 2015). The mode is the half-sample mode (Robertson and Cryer, JASA 1974), which needs no bins.

Squares lie within slices, so that slices which overlap or were interpolated do not look quieter than they are; noise
that neighbouring pixels share counts in full, unlike in a high-pass image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SQUARE_MM = 8.0
"""Edge of a square: a few pixels, and small enough to lie within an organ."""
LEAST_EDGE_PIXELS = 3
SOFT_TISSUE_HU = (0.0, 200.0)
"""Mean of a square that counts: organs with and without contrast medium; neither fat nor bone."""
MOST_SLICES = 32
"""Slices that are looked at, evenly spaced."""
LEAST_SQUARES = 50
"""Fewer tell no mode."""


def noise_hu(hounsfield: npt.NDArray[Any], spacing_zyx: tuple[float, float, float]) -> float | None:
    """Returns the standard deviation of the noise in HU, None where there is too little soft tissue.

    Args:
        hounsfield: CT (z, y, x) in LPS order, or a part of one.
        spacing_zyx: of its voxels, in mm.
    """
    deviations = _deviations(hounsfield, spacing_zyx)
    return half_sample_mode(deviations) if len(deviations) >= LEAST_SQUARES else None


def half_sample_mode(values: npt.NDArray[np.floating[Any]]) -> float:
    """Returns the most frequent value: of the narrowest half, again and again, the middle."""
    left = np.sort(values)
    while len(left) > 2:
        half = (len(left) + 1) // 2
        start = int((left[half - 1 :] - left[: len(left) - half + 1]).argmin())
        left = left[start : start + half]
    return float(left.mean())


def _deviations(hounsfield: npt.NDArray[Any], spacing_zyx: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """Returns the standard deviation inside every square of soft tissue."""
    depth, height, width = hounsfield.shape
    slices = np.unique(np.linspace(0, depth - 1, min(depth, MOST_SLICES)).round().astype(int))
    rows, columns = (max(LEAST_EDGE_PIXELS, round(SQUARE_MM / spacing)) for spacing in spacing_zyx[1:])
    down, across = height // rows, width // columns
    inside = hounsfield[slices, : down * rows, : across * columns].astype(np.float32)
    squares = inside.reshape(len(slices), down, rows, across, columns).swapaxes(2, 3).reshape(-1, rows * columns)
    means = squares.mean(axis=1)
    low, high = SOFT_TISSUE_HU
    return np.asarray(squares[(means > low) & (means < high)].std(axis=1, ddof=1), np.float32)

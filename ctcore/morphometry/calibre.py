"""How wide a duct, a vessel or the gland is along a centre line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.morphometry.centre_line import CentreLine
from ctcore.morphometry.paths import Inside

SIGMA_MM = 2.0
"""Areas are averaged along the line by a Gaussian of this standard deviation: single slices of voxels must not show."""
END_MM = 4.0
"""This much at either end of a line is left out: there the areas are those of rounded ends."""


@dataclass(frozen=True, eq=False)
class Calibre:
    """Diameters along a line.

    Attributes:
        positions: (n,) mm along the line.
        diameters: (n,) mm: of the circle with the cross-section's area.
    """

    positions: npt.NDArray[np.float64]
    diameters: npt.NDArray[np.float64]

    @property
    def largest_mm(self) -> float:
        """Largest diameter."""
        return float(self.diameters.max())

    @property
    def median_mm(self) -> float:
        """Median diameter."""
        return float(np.median(self.diameters))


def calibre_along(inside: Inside, line: CentreLine) -> Calibre:
    """Measures a piece of a mask along a line through it.

    Every voxel belongs to the nearest point of the line; the area at a point is the volume of its voxels over the
    length it stands for, averaged along the line (`SIGMA_MM`). The diameter is 2 sqrt(area / pi). A line too short to
    lose its ends (`END_MM`) has one diameter.
    """
    from scipy.ndimage import gaussian_filter1d

    nearest = line.nearest(inside.millimetres(inside.voxels))
    volumes = np.bincount(nearest, minlength=len(line.points)) * float(np.prod(inside.spacing))
    if line.length_mm <= 2 * END_MM + 1:
        area = volumes.sum() / max(line.length_mm, *inside.spacing)
        return Calibre(np.array([line.length_mm / 2]), np.array([2 * np.sqrt(area / np.pi)]))
    step = line.length_mm / (len(line.points) - 1)
    areas = gaussian_filter1d(volumes, SIGMA_MM / step, mode="nearest") / step
    inner = (line.positions >= END_MM) & (line.positions <= line.length_mm - END_MM)
    return Calibre(line.positions[inner], 2 * np.sqrt(areas[inner] / np.pi))

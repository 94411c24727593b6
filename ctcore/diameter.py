"""The longest axial diameter of a lesion: how radiologists give its size."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ctcore.volume import Geometry


def longest_axial_diameter_mm(mask: npt.NDArray[np.bool_], geometry: Geometry) -> float:
    """Returns the largest in-plane Feret diameter over the axial planes, in mm.

    The diameter is that of one connected section (8 neighbours), measured on the outline of its convex hull half a
    voxel outside the voxel centres, so that a single voxel measures one spacing (scikit-image's definition). Axial
    planes are those across the index axis nearest to the patient's head-foot axis.

    Args:
        mask: (z, y, x) voxels, on the spacing and direction of `geometry` (any part of its grid).
        geometry: gives spacing and direction.
    """
    from skimage.measure import label, regionprops

    across = 2 - int(np.argmax(np.abs(geometry.matrix[2])))  # array axis (z, y, x) nearest to LPS z
    spacing = tuple(s for axis, s in enumerate(geometry.spacing_zyx) if axis != across)
    longest = 0.0
    for plane in np.moveaxis(mask, across, 0):
        sections = label(plane, connectivity=2)  # type: ignore[no-untyped-call]
        for section in regionprops(sections, spacing=spacing):  # type: ignore[no-untyped-call]
            rows, columns = section.image.shape
            if math.hypot(rows * spacing[0], columns * spacing[1]) > longest:  # else it cannot be longer: skip the hull
                longest = max(longest, float(section.feret_diameter_max))
    return longest

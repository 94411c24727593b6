"""Resampling with cubic B-splines around the first voxel, as ITK's users do it: no other kind is in `ctcore.resample`.

The new grid has the image's origin, so that the centres of the first voxels coincide and not the field of view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.bounds import check_resampled
from ctcore.geometry import Triple
from ctcore.itk import from_sitk, to_sitk
from ctcore.volume import Geometry, Volume

AIR_HU = -1000.0
"""What lies outside the image, where the new grid reaches farther by a part of a voxel."""


def bspline_to_spacing(volume: Volume, spacing_zyx: tuple[float, float, float]) -> Volume:
    """Returns a CT in float32 at a spacing (z, y, x) in mm, with its origin and direction.

    Args:
        volume: Hounsfield units.
        spacing_zyx: the new spacing, met exactly; each size is the nearest to the extent.

    Raises:
        GeometryError: the grid would have more voxels than are resampled to (`ctcore.bounds`).
    """
    import SimpleITK as sitk

    image = sitk.Cast(to_sitk(volume), sitk.sitkFloat32)
    spacing = spacing_zyx[::-1]
    size = [max(1, round(n * s / t)) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)]
    check_resampled(size, spacing)
    resample = sitk.ResampleImageFilter()
    resample.SetSize(size)
    resample.SetOutputSpacing(spacing)
    resample.SetOutputOrigin(image.GetOrigin())
    resample.SetOutputDirection(image.GetDirection())
    resample.SetDefaultPixelValue(AIR_HU)
    resample.SetInterpolator(sitk.sitkBSpline)
    return from_sitk(resample.Execute(image))


def index_of_centre(index: Triple, grid: Geometry, of: Geometry) -> Triple:
    """Returns the voxel (z, y, x) of one grid that holds the centre of another's; ITK's rounding, also outside."""
    import SimpleITK as sitk

    places = []
    for geometry in (grid, of):
        place = sitk.Image([1, 1, 1], sitk.sitkUInt8)
        place.SetSpacing(geometry.spacing)
        place.SetOrigin(geometry.origin)
        place.SetDirection(geometry.direction)
        places.append(place)
    point = places[0].TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
    x, y, z = places[1].TransformPhysicalPointToIndex(point)
    return int(z), int(y), int(x)


def nearest_from_first(mask: npt.NDArray[Any], grid: Geometry, onto: Geometry) -> npt.NDArray[Any]:
    """Returns a mask (z, y, x) of a grid from `bspline_to_spacing` on the grid that it was made of: nearest voxels."""
    indices = []
    for size, spacing, length, step in zip(mask.shape, grid.spacing_zyx, onto.shape, onto.spacing_zyx, strict=True):
        nearest = np.floor(np.arange(length) * step / spacing + 0.5).astype(np.intp)
        indices.append(np.clip(nearest, 0, size - 1))
    return np.ascontiguousarray(mask[np.ix_(*indices)])

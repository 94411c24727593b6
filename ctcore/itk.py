"""Volumes as SimpleITK images, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ctcore.errors import ImageDimensionError, first_line
from ctcore.volume import Geometry, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk


def from_sitk(image: sitk.Image) -> Volume:
    """Turns a SimpleITK image into a volume (the array is a copy).

    Raises:
        ImageDimensionError: the image is not a single 3-D scalar volume.
        GeometryError: its grid is impossible.
    """
    import SimpleITK as sitk

    if image.GetDimension() != 3:
        raise ImageDimensionError(f"image has {image.GetDimension()} dimensions; give one 3-D volume")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageDimensionError(
            f"image has {image.GetNumberOfComponentsPerPixel()} values a voxel; give one scalar (Hounsfield) volume"
        )
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Volume(array, geometry)


def to_sitk(volume: Volume) -> sitk.Image:
    """Turns a volume into a SimpleITK image; bool becomes uint8 and float16 float32, which ITK has not."""
    import SimpleITK as sitk

    array = volume.array
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def itk_reason(error: RuntimeError) -> str:
    """Returns the last telling line of an ITK exception, which starts with the place in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else first_line(error)
    if reason.startswith("Reason:"):  # MetaImage: the last error of the system, whatever it was about
        reason = "it is damaged or ends early"
    return reason.split("ITK ERROR:")[-1].strip().rstrip(".;")[:200]

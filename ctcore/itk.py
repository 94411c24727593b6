"""Volumes as SimpleITK images, and back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
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


class _Warnings:
    """Who wants ITK to keep its warnings to itself, and what was set before the first of them came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.unwanted = 0
        self.were_on = True


_WARNINGS = _Warnings()


@contextlib.contextmanager
def without_itk_warnings() -> Iterator[None]:
    """Keeps ITK from printing to stderr from C++ while the block, or the decorated function, runs.

    The switch belongs to the whole process: the last thread to leave sets it as the first has found it.
    """
    import SimpleITK as sitk

    with _WARNINGS.lock:
        if not _WARNINGS.unwanted:
            _WARNINGS.were_on = sitk.ProcessObject.GetGlobalWarningDisplay()
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
        _WARNINGS.unwanted += 1
    try:
        yield
    finally:
        with _WARNINGS.lock:
            _WARNINGS.unwanted -= 1
            if not _WARNINGS.unwanted:
                sitk.ProcessObject.SetGlobalWarningDisplay(_WARNINGS.were_on)


def itk_reason(error: RuntimeError) -> str:
    """Returns the last telling line of an ITK exception, which starts with the place in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else first_line(error)
    if reason.startswith("Reason:"):  # MetaImage: the last error of the system, whatever it was about
        reason = "it is damaged or ends early"
    if "Unable to determine ImageIO reader" in reason:  # what is said of damage that the format's own reader sees
        reason = "it is damaged"
    return reason.split("ITK ERROR:")[-1].strip().rstrip(".;")[:200]

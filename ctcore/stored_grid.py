"""What the header of an image file says of its grid, where ITK says less.

ITK takes a voxel size of 0, NaN or infinity in a NIfTI header for 1 mm, a quaternion that is none for no rotation, an
origin that is not finite for a finite one, and a negative spacing of a MetaImage file for a positive one; of two
transforms that contradict each other it chooses one, without a word (seen with ITK 5.4).
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcore.errors import GeometryError, ImageDimensionError, IntensityError
from ctcore.first_bytes import NIFTI_HEADER_BYTES
from ctcore.volume import ORTHONORMAL_TOLERANCE, Geometry

FLAG_ORIENTATION = "orientation_unknown"
"""The file does not say how the body lies in it; its axes are taken for right-left, back-front and up."""

FLAG_SCALING = "scaling_unreadable"
"""Slope and intercept contradict each other or are no numbers: values are taken as they are stored."""

FLAG_PLACE = "place_ambiguous"
"""The file states two places for the same grid: viewers that take the other one show maps elsewhere."""

SAME_PLACE_MM = 1.0
"""Two transforms of a NIfTI header agree where they put all corners this near to each other."""

SAME_AXES = 1e-3
"""Largest difference of two direction matrices, and relative difference of two spacings, that is rounding."""

_SPACING_LINE = re.compile(rb"^\s*(ElementSpacing|ElementSize|spacings)\s*[=:](.*)$", re.MULTILINE)
_PLACE_LINE = re.compile(
    rb"^\s*(TransformMatrix|Rotation|Orientation|Offset|Position|Origin|space directions|space origin)\s*[=:](.*)$",
    re.MULTILINE,
)
_NOT_FINITE = re.compile(r"nan|inf", re.IGNORECASE)
_DIRECTIONS = (b"TransformMatrix", b"Rotation", b"Orientation")
"""What MetaImage headers may call the direction: the steps along x, y, z one after the other."""


@dataclass(frozen=True)
class _Transform:
    """One of the two ways in which a NIfTI header places its grid.

    Attributes:
        name: `qform` or `sform`.
        columns: (3, 3); column i is the step (x, y, z) in mm from a voxel to the next along axis i.
        origin: (x, y, z) of the first voxel, mm.
    """

    name: str
    columns: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self.columns, axis=0))

    @property
    def direction(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.columns / self.spacing)


def judge_nifti(name: str, head: bytes) -> tuple[str, ...]:
    """Judges what a NIfTI-1 header says of grid and scaling.

    Args:
        name: what messages call the file.
        head: its first bytes, decompressed, `NIFTI_HEADER_BYTES` at least.

    Returns:
        Flags: what a reader must know.

    Raises:
        ImageDimensionError: a size is below 1.
        GeometryError: a voxel size or a transform is impossible, or the two transforms turn the image differently.
        IntensityError: the slope is negative.
    """
    order = "<" if struct.unpack_from("<i", head)[0] == NIFTI_HEADER_BYTES else ">"

    def numbers(offset: int, count: int) -> npt.NDArray[np.float64]:
        return np.asarray(struct.unpack_from(f"{order}{count}f", head, offset), dtype=np.float64)

    axes, *sizes = struct.unpack_from(f"{order}8h", head, 40)
    if not 1 <= axes <= 7 or min(sizes[: min(axes, 3)]) < 1:
        raise ImageDimensionError(f"'{name}' says it has {axes} axes of {tuple(sizes)} voxels; correct its header")
    slope, intercept = numbers(112, 2)
    if slope < 0:
        raise IntensityError(
            f"'{name}' has the slope {slope:g}, which makes air dense and bone light; convert the CT again"
        )
    unreadable = not (math.isfinite(slope) and math.isfinite(intercept)) or (slope == 0 and intercept != 0)
    flags = (FLAG_SCALING,) if unreadable else ()
    spacing = numbers(80, 3)
    if axes >= 3 and not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise GeometryError(_not_positive(name, ", ".join(f"{s:g}" for s in spacing)))
    qform_code, sform_code = struct.unpack_from(f"{order}2h", head, 252)
    transforms = []
    if qform_code > 0:
        transforms.append(_qform(name, numbers(76, 1)[0], spacing, numbers(256, 3), numbers(268, 3)))
    if sform_code > 0:
        rows = numbers(280, 12).reshape(3, 4)
        transforms.append(_Transform("sform", rows[:, :3], rows[:, 3]))
    for transform in transforms:
        _check(name, transform)
    if not transforms:
        return (*flags, FLAG_ORIENTATION)
    return (*flags, *_compare(name, transforms, sizes)) if len(transforms) > 1 else flags


def judge_text(name: str, head: bytes) -> None:
    """Judges what a MetaImage or NRRD header says of its grid.

    Args:
        name: what messages call the file.
        head: its first bytes.

    Raises:
        GeometryError: a voxel size is not positive and finite, a place not finite, or a direction not orthonormal.
    """
    for match in _PLACE_LINE.finditer(head):
        key, said = match[1].decode(), match[2].decode("latin-1").strip()
        if _NOT_FINITE.search(said):
            raise GeometryError(f"'{name}' has {key} = {said[:80]}, which is not finite; correct the image header")
        if match[1] in _DIRECTIONS and len(said.split()) == 9:
            try:
                steps = np.asarray([float(word) for word in said.split()]).reshape(3, 3)
            except ValueError as error:
                raise GeometryError(f"'{name}' has {key} = {said[:80]}; correct the image header") from error
            Geometry((1, 1, 1), (1.0, 1.0, 1.0), direction=tuple(float(step) for step in steps.T.ravel()))
    for match in _SPACING_LINE.finditer(head):
        said = match[2].decode("latin-1").strip()
        for word in said.split():
            try:
                value = float(word)
            except ValueError:
                value = math.nan
            if not (math.isfinite(value) and value > 0) and not (match[1] == b"spacings" and math.isnan(value)):
                raise GeometryError(_not_positive(name, said))


def _not_positive(name: str, said: str) -> str:
    return f"'{name}' has spacing ({said}) mm, which is not three positive numbers; correct the image header"


def _qform(
    name: str,
    handedness: float,
    spacing: npt.NDArray[np.float64],
    quaternion: npt.NDArray[np.float64],
    origin: npt.NDArray[np.float64],
) -> _Transform:
    """Returns the transform of a quaternion (b, c, d): NIfTI-1 standard, method 2."""
    rest = 1.0 - float(quaternion @ quaternion)
    if not rest >= -ORTHONORMAL_TOLERANCE:  # true of NaN, too
        raise GeometryError(
            f"'{name}' has a qform with the quaternion ({', '.join(f'{q:g}' for q in quaternion)}), which is no"
            " rotation; correct the image header"
        )
    a, (b, c, d) = math.sqrt(max(rest, 0.0)), quaternion
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    signed = spacing * np.array([1.0, 1.0, -1.0 if handedness < 0 else 1.0])
    return _Transform("qform", rotation * signed, origin)


def _check(name: str, transform: _Transform) -> None:
    """Refuses a transform that no grid of a scanner has."""
    if not np.isfinite(transform.origin).all():
        said = ", ".join(f"{o:g}" for o in transform.origin)
        raise GeometryError(f"the {transform.name} of '{name}' has the origin ({said}) mm; correct the image header")
    right_angles = transform.direction.T @ transform.direction if (transform.spacing > 0).all() else np.zeros((3, 3))
    if not np.allclose(right_angles, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
        said = "; ".join(", ".join(f"{value:g}" for value in row) for row in transform.columns)
        raise GeometryError(
            f"the {transform.name} of '{name}' ({said}) is sheared or degenerate; resample the image to an orthogonal"
            " grid, or correct its header"
        )


def _compare(name: str, transforms: list[_Transform], sizes: list[int]) -> tuple[str, ...]:
    """Compares the two transforms of a header."""
    first, second = transforms
    same_spacing = np.allclose(first.spacing, second.spacing, rtol=SAME_AXES, atol=0)
    if not same_spacing or not np.allclose(first.direction, second.direction, rtol=0, atol=SAME_AXES):
        raise GeometryError(
            f"'{name}' has a qform and an sform that turn or scale it differently, of which one is wrong; set the code"
            " of the wrong one to 0"
        )
    apart = 0.0
    for corner in itertools.product(*((0, size - 1) for size in (*sizes[:3], 1, 1)[:3])):
        shift = (first.columns - second.columns) @ corner + first.origin - second.origin
        apart = max(apart, float(np.linalg.norm(shift)))
    return (FLAG_PLACE,) if apart > SAME_PLACE_MM else ()

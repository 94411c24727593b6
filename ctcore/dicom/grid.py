"""From the places of slices to the grid of a volume; what makes no grid is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctcore.dicom.header import Header
from ctcore.errors import GeometryError
from ctcore.volume import Geometry

SPACING_TOLERANCE = 0.05
"""How far a slice may lie from its place on the even grid, in slice distances."""

SAME_PLACE_MM = 1e-3
"""Slices nearer than this lie at one place."""

TILT_TOLERANCE_DEGREES = 0.2
"""Largest angle between the way from slice to slice and the slices' normal; less is rounding."""

LATERAL_TOLERANCE_MM = 0.5
"""How far a slice may lie beside the line through the first and the last."""


def normal_of(header: Header) -> npt.NDArray[np.float64]:
    """Returns the unit vector (x, y, z) that a slice faces, LPS: along a row x along a column.

    Raises:
        GeometryError: its orientation is missing, or is no pair of vectors at right angles.
    """
    if header.orientation is None:
        raise GeometryError(f"'{header.source.name}' does not say how it is oriented; export the series again")
    along_row, along_column = np.asarray(header.orientation[:3]), np.asarray(header.orientation[3:])
    normal = np.cross(along_row, along_column)
    length = float(np.linalg.norm(normal))
    if not math.isfinite(length) or not 0.99 < length < 1.01:
        raise GeometryError(
            f"orientation {header.orientation} of '{header.source.name}' is no pair of unit vectors at right angles;"
            " export the series again"
        )
    return normal / length


def ordered_grid(slices: Sequence[Header]) -> tuple[tuple[Header, ...], Geometry]:
    """Returns slices in the order of their places, and the grid (slice, row, column) that they make.

    Args:
        slices: two or more of the same size, voxel size and orientation.

    Raises:
        GeometryError: a place or a voxel size is missing or impossible, two slices lie at one place, slices are
            missing, their distances differ, or they are tilted against the way from one to the next.
    """
    first = slices[0]
    normal = normal_of(first)
    if first.spacing is None:
        raise GeometryError(f"'{first.source.name}' does not say how large its voxels are; export the series again")
    missing = next((header for header in slices if header.position is None), None)
    if missing is not None:
        raise GeometryError(f"'{missing.source.name}' does not say where it lies; export the series again")
    places = np.asarray([header.position for header in slices], dtype=np.float64)
    if not np.isfinite(places).all():
        raise GeometryError(f"a place in the series of '{first.source.name}' is not finite; export the series again")
    order = np.argsort(places @ normal, kind="stable")
    ordered, places = tuple(slices[int(i)] for i in order), places[order]
    distance = _slice_distance(ordered, places @ normal)
    _refuse_tilt(ordered, places, normal)
    rows, columns = np.asarray(first.orientation).reshape(2, 3)
    direction = np.stack([rows, columns, normal], axis=1)
    row_spacing, column_spacing = first.spacing
    geometry = Geometry(
        (len(ordered), first.rows, first.columns),
        (column_spacing, row_spacing, distance),
        (float(places[0, 0]), float(places[0, 1]), float(places[0, 2])),
        tuple(float(d) for d in direction.ravel()),
    )
    return ordered, geometry


def _slice_distance(ordered: Sequence[Header], heights: npt.NDArray[np.float64]) -> float:
    """Returns the distance of slices, in mm, by their heights along the normal, ascending."""
    gaps = np.diff(heights)
    if gaps.min() < SAME_PLACE_MM:
        at = int(np.argmin(gaps))
        raise GeometryError(
            f"'{ordered[at].source.name}' and '{ordered[at + 1].source.name}' lie at one place, {heights[at]:.2f} mm"
            " along the series; remove one of them"
        )
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)
    if len(wide):
        at = int(wide[0])
        lost = int(np.round(gaps[wide] / usual).sum()) - len(wide)
        raise GeometryError(
            f"{lost} of {len(ordered) + lost} slices are missing, the first between '{ordered[at].source.name}' and"
            f" '{ordered[at + 1].source.name}', {gaps[at]:.2f} mm apart instead of {usual:.2f} mm; copy it again"
        )
    even = float(heights[-1] - heights[0]) / len(gaps)
    off = np.abs(heights - heights[0] - even * np.arange(len(heights)))
    if off.max() > SPACING_TOLERANCE * even:
        raise GeometryError(
            f"slices are {gaps.min():.3f} to {gaps.max():.3f} mm apart; give a series of one slice distance"
        )
    return even


def _refuse_tilt(ordered: Sequence[Header], places: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> None:
    """Refuses slices that are shifted against one another: their grid is sheared."""
    way = places[-1] - places[0]
    along = float(way @ normal)
    angle = math.degrees(math.atan2(float(np.linalg.norm(way - along * normal)), along))
    if angle > TILT_TOLERANCE_DEGREES:
        said = f" (the header says {ordered[0].tilt:g})" if ordered[0].tilt else ""
        raise GeometryError(
            f"the gantry was tilted by {angle:.1f} degrees{said}, the slices make a sheared grid; resample the"
            " series to an orthogonal one first"
        )
    line = places[0] + np.linspace(0.0, 1.0, len(places))[:, None] * way
    beside = places - line
    beside -= (beside @ normal)[:, None] * normal
    worst = int(np.argmax(np.linalg.norm(beside, axis=1)))
    lateral = float(np.linalg.norm(beside[worst]))
    if lateral > LATERAL_TOLERANCE_MM:
        raise GeometryError(
            f"'{ordered[worst].source.name}' lies {lateral:.1f} mm beside the line of the other slices; export the"
            " series again"
        )

"""All measurements of a case's pancreatic region: gland, ducts, and what each lesion touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcore.diameter import longest_axial_diameter_mm
from ctcore.errors import GeometryError
from ctcore.morphometry.calibre import Calibre, calibre_along
from ctcore.morphometry.centre_line import CentreLine, centre_line
from ctcore.morphometry.contact import Contact, vessel_contact
from ctcore.morphometry.gland import Gland
from ctcore.morphometry.measures import (
    DUCT_DILATED_MM,
    SIDE_MM,
    DuctMeasures,
    GlandMeasures,
    LesionMeasures,
    RegionMeasures,
)
from ctcore.morphometry.paths import Inside, Spacing, coarse, pieces
from ctcore.morphometry.vessels import VenousTree, arterial_tree, venous_tree
from ctcore.volume import Geometry

LEAST_DUCT_MM = 6.0
"""Shorter pieces of a duct have no calibre: their ends are all there is of them."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Masks (z, y, x) of a region in LPS order, non-zero inside; None where a model does not segment it.

    Attributes:
        pancreas: parenchyma.
        duct: main pancreatic duct.
        bile_duct: common bile duct.
        veins: portal, splenic and superior mesenteric vein.
        arteries: aorta, coeliac trunk and its branches, superior mesenteric artery.
    """

    pancreas: npt.NDArray[Any] | None = None
    duct: npt.NDArray[Any] | None = None
    bile_duct: npt.NDArray[Any] | None = None
    veins: npt.NDArray[Any] | None = None
    arteries: npt.NDArray[Any] | None = None


def measure_region(anatomy: Anatomy, lesions: npt.NDArray[np.integer[Any]], geometry: Geometry) -> RegionMeasures:
    """Measures a case.

    Args:
        anatomy: what is segmented around the lesions.
        lesions: (z, y, x) 0 outside, k inside lesion k.
        geometry: grid of both, in LPS order.

    Raises:
        GeometryError: an array is not on the grid.
    """
    masks = [mask for mask in vars(anatomy).values() if mask is not None]
    for array in (lesions, *masks):
        if array.shape != geometry.shape:
            raise GeometryError(f"mask of shape {array.shape} on a grid of {geometry.shape}; give all on one grid")
    return _Region(anatomy, lesions, geometry).measure()


class _Region:
    """A case while it is measured: what several measurements need is found once."""

    def __init__(self, anatomy: Anatomy, lesions: npt.NDArray[np.integer[Any]], geometry: Geometry) -> None:
        self._anatomy, self._lesions, self._geometry = anatomy, lesions, geometry
        self._spacing: Spacing = geometry.spacing_zyx
        self._veins = _largest(anatomy.veins, self._spacing)
        self._tree = VenousTree(None, {}) if self._veins is None else venous_tree(self._veins)
        arteries = _largest(anatomy.arteries, self._spacing)
        self._arteries = {} if arteries is None else arterial_tree(arteries)
        whole = self._whole_gland()
        self._volume_ml = 0.0 if whole is None else int(np.count_nonzero(whole)) * geometry.voxel_volume_ml
        self._whole = _largest(whole, self._spacing)
        self._line = None if self._whole is None else centre_line(self._whole)
        self._parts = self._gland_parts()
        if self._parts is not None:
            self._line = self._parts.line
        self._calibre = None if self._whole is None or self._line is None else calibre_along(self._whole, self._line)

    def measure(self) -> RegionMeasures:
        """Measures everything."""
        duct, along = self._duct(self._anatomy.duct, DUCT_DILATED_MM)
        bile, _ = self._duct(self._anatomy.bile_duct, None)
        thickness = self._thickness(along)
        numbers = [int(number) for number in np.flatnonzero(np.bincount(self._lesions.ravel())) if number]
        lesions = tuple(self._lesion(number, thickness) for number in numbers)
        return RegionMeasures(self._gland(), duct, bile, lesions)

    def _whole_gland(self) -> npt.NDArray[np.bool_] | None:
        """Returns parenchyma, duct and lesions in one."""
        if self._anatomy.pancreas is None:
            return None
        whole = np.asarray((self._anatomy.pancreas != 0) | (self._lesions != 0))
        return whole if self._anatomy.duct is None else whole | (self._anatomy.duct != 0)

    def _gland_parts(self) -> Gland | None:
        """Returns the parts of the gland: by the confluence, else by the place of the veins nearest to the gland."""
        if self._line is None or self._veins is None:
            return None
        if self._tree.confluence is not None:
            return Gland.of(self._line, self._tree.confluence)
        points = self._veins.millimetres(self._veins.voxels)
        return Gland.of(self._line, points[np.argmin(self._line.distance_mm(points))])

    def _gland(self) -> GlandMeasures | None:
        if self._whole is None or self._line is None or self._calibre is None:
            return None
        return GlandMeasures(
            volume_ml=self._volume_ml,
            length_mm=self._line.length_mm,
            confluence_mm=None if self._parts is None else self._parts.confluence_mm,
            thickness_mm=self._calibre.median_mm,
        )

    def _duct(self, mask: npt.NDArray[Any] | None, dilated: float | None) -> tuple[DuctMeasures | None, _AlongGland]:
        """Measures a duct in all its pieces that are long enough; also where on the gland which calibre lies."""
        measured: list[tuple[CentreLine, Calibre]] = []
        for piece in [] if mask is None else pieces(mask, self._spacing, LEAST_DUCT_MM):
            line = centre_line(piece)
            if line is not None:
                measured.append((line, calibre_along(piece, line)))
        along = _AlongGland.of(measured, self._line)
        if not measured:
            return None, along
        diameters = np.concatenate([calibre.diameters for _, calibre in measured])
        length = sum(line.length_mm for line, _ in measured)
        wide = None if dilated is None else length * float(np.mean(diameters > dilated))
        return DuctMeasures(
            float(diameters.max()), float(np.median(diameters)), length, wide, () if dilated is None else along.pairs()
        ), along

    def _thickness(self, duct: _AlongGland) -> Calibre | None:
        """Returns the parenchyma's thickness along the gland."""
        if self._calibre is None:
            return None
        positions, diameters = self._calibre.positions, self._calibre.diameters
        return Calibre(positions, np.clip(diameters - duct.at(positions), 0.0, None))

    def _lesion(self, number: int, thickness: Calibre | None) -> LesionMeasures:
        mask = self._lesions == number
        points = np.argwhere(mask) * np.asarray(self._spacing)
        position = upstream = downstream = None
        if self._line is not None and thickness is not None:
            places = self._line.positions[self._line.nearest(points)]
            position = float(np.median(places))
            upstream = _median(thickness, places.max() + SIDE_MM, np.inf)
            downstream = _median(thickness, -np.inf, places.min() - SIDE_MM)
        return LesionMeasures(
            number=number,
            volume_ml=len(points) * self._geometry.voxel_volume_ml,
            diameter_mm=longest_axial_diameter_mm(mask, self._geometry),
            part=None if self._parts is None or position is None else self._parts.part_at(position),
            position_mm=position,
            upstream_thickness_mm=upstream,
            downstream_thickness_mm=downstream,
            contact=self._contacts(mask),
        )

    def _contacts(self, lesion: npt.NDArray[np.bool_]) -> dict[str, Contact]:
        """Returns the contact with every vessel that shows."""
        found: dict[str, Contact] = {}
        for vessel, lines in ((self._anatomy.veins, self._tree.branches), (self._anatomy.arteries, self._arteries)):
            if vessel is not None:
                found |= {n: vessel_contact(vessel, lesion, self._spacing, line) for n, line in lines.items()}
        return found


@dataclass(frozen=True, eq=False)
class _AlongGland:
    """A duct's calibre over the gland's centre line.

    Attributes:
        places: (n,) mm on the line, rising.
        diameters: (n,) mm.
    """

    places: npt.NDArray[np.float64]
    diameters: npt.NDArray[np.float64]

    @classmethod
    def of(cls, measured: Sequence[tuple[CentreLine, Calibre]], line: CentreLine | None) -> _AlongGland:
        if line is None or not measured:
            return cls(np.zeros(0), np.zeros(0))
        places = [line.positions[line.nearest(each.at(calibre.positions))] for each, calibre in measured]
        diameters = [calibre.diameters for _, calibre in measured]
        order = np.argsort(np.concatenate(places), kind="stable")
        return cls(np.concatenate(places)[order], np.concatenate(diameters)[order])

    def at(self, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns the calibre at places of the line; 0 beyond where the duct shows."""
        if not len(self.places):
            return np.zeros(len(positions))
        return np.asarray(np.interp(positions, self.places, self.diameters, left=0.0, right=0.0))

    def pairs(self, step_mm: float = 5.0) -> tuple[tuple[float, float], ...]:
        """Returns place and calibre, the median of every so many millimetres."""
        bins = (self.places // step_mm).astype(int)
        return tuple(
            (float((number + 0.5) * step_mm), float(np.median(self.diameters[bins == number])))
            for number in np.unique(bins)
        )


def _largest(mask: npt.NDArray[Any] | None, spacing: Spacing) -> Inside | None:
    """Returns the inside of something wide."""
    return None if mask is None else Inside.of(*coarse(mask, spacing))


def _median(thickness: Calibre, low: float, high: float) -> float | None:
    """Returns the median thickness between two places, or None where there is nothing."""
    chosen = thickness.diameters[(thickness.positions >= low) & (thickness.positions <= high)]
    return float(np.median(chosen)) if len(chosen) else None

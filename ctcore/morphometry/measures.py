"""What is measured of a case's pancreatic region; see docs/measurements.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ctcore.morphometry.contact import Contact
from ctcore.morphometry.gland import Part

DUCT_DILATED_MM = 3.0
"""A main pancreatic duct of more is called dilated."""
SIDE_MM = 5.0
"""The gland beside a lesion is measured from so far outside it."""


@dataclass(frozen=True)
class GlandMeasures:
    """The pancreas, with its duct and the lesions in it.

    Attributes:
        volume_ml: of all of it.
        length_mm: of its centre line.
        confluence_mm: place on that line in front of the portal confluence, from the head's end; None without veins.
        thickness_mm: median diameter of its cross-sections.
    """

    volume_ml: float
    length_mm: float
    confluence_mm: float | None
    thickness_mm: float


@dataclass(frozen=True)
class DuctMeasures:
    """A duct.

    Attributes:
        largest_mm: largest calibre.
        median_mm: median calibre along its course.
        length_mm: of the course that shows.
        dilated_mm: how much of it is wider than `DUCT_DILATED_MM`; None for the bile duct.
        along_gland: pairs of place on the gland's centre line and calibre, in mm, every few millimetres; empty without
            a gland's centre line.
    """

    largest_mm: float
    median_mm: float
    length_mm: float
    dilated_mm: float | None
    along_gland: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LesionMeasures:
    """One lesion.

    Attributes:
        number: its value in the lesion labels.
        volume_ml: its volume.
        diameter_mm: longest axial diameter.
        part: part of the pancreas; None where the confluence is not known.
        position_mm: place on the gland's centre line, from the end of the head; None without one.
        upstream_thickness_mm, downstream_thickness_mm: median parenchymal thickness (diameter of the cross-section less
            that of the duct) from `SIDE_MM` beyond it towards the tail and the head; None where nothing is left there.
        contact: of the named vessels that show: degrees of the circumference and length.
    """

    number: int
    volume_ml: float
    diameter_mm: float
    part: Part | None
    position_mm: float | None
    upstream_thickness_mm: float | None
    downstream_thickness_mm: float | None
    contact: Mapping[str, Contact]


@dataclass(frozen=True)
class RegionMeasures:
    """What is measured of a case; None where the segmentation does not show it.

    Attributes:
        gland: the pancreas.
        duct: the main pancreatic duct.
        bile_duct: the common bile duct.
        lesions: every lesion, in the order of their numbers.
    """

    gland: GlandMeasures | None
    duct: DuctMeasures | None
    bile_duct: DuctMeasures | None
    lesions: tuple[LesionMeasures, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns it as JSON types."""
        return asdict(self)

"""What is kept of a case's measurements; definitions: docs/measurements.md."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict

from ctcore.morphometry.gland import Part
from ctcore.morphometry.measures import RegionMeasures
from pipeline.record import Record


class _Figures(Record):
    """Numbers; one that is infinite or none is refused, because JSON has no word for it."""

    model_config = ConfigDict(allow_inf_nan=False)


class ContactRecord(_Figures):
    """Contact of a lesion with a vessel.

    Attributes:
        degrees: of the circumference that touch, 0 to 360, at most along the vessel.
        length_mm: of the vessel's course where anything touches.
    """

    degrees: float
    length_mm: float


class GlandRecord(_Figures):
    """The pancreas with its duct and the lesions in it.

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


class DuctRecord(_Figures):
    """A duct.

    Attributes:
        largest_mm: largest calibre.
        median_mm: median calibre.
        length_mm: of the course that shows.
        dilated_mm: how much of it is wider than 3 mm; None for the bile duct.
        along_gland: pairs of place on the gland's centre line and calibre, in mm.
    """

    largest_mm: float
    median_mm: float
    length_mm: float
    dilated_mm: float | None
    along_gland: tuple[tuple[float, float], ...] = ()


class MeasuredLesionRecord(_Figures):
    """A lesion of the segmentation.

    Attributes:
        number: 1 is the largest.
        candidate: number of the lesion candidate that it shares most voxels with; None: with none.
        volume_ml: its volume.
        diameter_mm: longest axial diameter.
        part: part of the pancreas; None where the confluence is not known.
        position_mm: place on the gland's centre line, from the end of the head; None without one.
        upstream_thickness_mm: median parenchymal thickness beyond it, towards the tail; None where nothing is left.
        downstream_thickness_mm: the same towards the head.
        contact: with every vessel that shows, by its name.
    """

    number: int
    candidate: int | None
    volume_ml: float
    diameter_mm: float
    part: Part | None
    position_mm: float | None
    upstream_thickness_mm: float | None
    downstream_thickness_mm: float | None
    contact: dict[str, ContactRecord]


class MeasurementsRecord(_Figures):
    """What was measured on a case's segmentation; None where that does not show it.

    Attributes:
        gland: the pancreas.
        duct: the main pancreatic duct.
        bile_duct: the common bile duct.
        lesion_ml: volume of all that is labelled lesion.
        lesions: its pieces from the largest to the smallest; small ones are left out (`pipeline.measurements`).
    """

    gland: GlandRecord | None
    duct: DuctRecord | None
    bile_duct: DuctRecord | None
    lesion_ml: float
    lesions: tuple[MeasuredLesionRecord, ...]

    @classmethod
    def of(cls, measured: RegionMeasures, lesion_ml: float, candidates: Mapping[int, int]) -> MeasurementsRecord:
        """Returns the record of a case.

        Args:
            measured: the case's measures.
            lesion_ml: volume of all that is labelled lesion.
            candidates: number of the lesion candidate, where there is one, by the lesion's number.

        Raises:
            ValidationError: a figure is infinite or no number.
        """
        values = measured.as_dict()
        lesions = [{**lesion, "candidate": candidates.get(lesion["number"])} for lesion in values["lesions"]]
        return cls.model_validate({**values, "lesion_ml": lesion_ml, "lesions": lesions})

    @property
    def main_lesion(self) -> MeasuredLesionRecord | None:
        """The largest lesion; None without any."""
        return self.lesions[0] if self.lesions else None

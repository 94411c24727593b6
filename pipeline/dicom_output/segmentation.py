"""DICOM SEG: the lesion candidates and the segmented anatomy, on the slices of the CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.sr import CodedConcept

from ctcore.geometry import Inset
from pipeline.dicom_output import codes
from pipeline.dicom_output.maker import PERSON, PRODUCT, Maker
from pipeline.label_colours import RGB

MAX_LABEL = 64
"""Most characters of a segment's label."""


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        value: of its voxels in the array.
        label: its name.
        category, kind: its codes.
        colour: red, green, blue; 0 to 255.
        tracking_id, tracking_uid: what the report calls it, or None.
    """

    value: int
    label: str
    category: CodedConcept
    kind: CodedConcept
    colour: RGB
    tracking_id: str | None = None
    tracking_uid: str | None = None


def make_segmentation(
    labels: Inset, segments: Sequence[Segment], maker: Maker, *, description: str, series_number: int
) -> hd.seg.Segmentation | None:
    """Returns a DICOM SEG of those segments that have voxels, numbered in their order from 1; None without any.

    Args:
        labels: integers on the CT's stored grid (slice, row, column).
        segments: what its values mean.
        maker: who made it, of which slices.
        description: of the series.
        series_number: of the series.
    """
    inside = np.isin(labels.array, [segment.value for segment in segments])
    present = [segment for segment in segments if (labels.array == segment.value).any()]
    if not present:
        return None
    (numbers,) = np.nonzero(inside.any(axis=(1, 2)))
    pixels = _numbered(labels, present, numbers)
    first = labels.box.start[0]
    return hd.seg.Segmentation(
        source_images=[maker.sources[first + int(number)] for number in numbers],
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(number, s, maker) for number, s in enumerate(present, start=1)],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=maker.model,
        software_versions=maker.version,
        device_serial_number=maker.serial,
        content_label="SEGMENTATION",
        content_description=maker.description(description),
        content_creator_name=PERSON,
        series_description=maker.description(description),
    )


def _numbered(labels: Inset, present: Sequence[Segment], slices: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
    """Returns segment numbers (slice, row, column) on whole slices: those of `slices`, which count from the box."""
    pixels = np.zeros((len(slices), *labels.geometry.shape[1:]), dtype=np.uint16)
    _, rows, columns = labels.box.slices
    window: npt.NDArray[Any] = pixels[:, rows, columns]
    for number, segment in enumerate(present, start=1):
        window[labels.array[slices] == segment.value] = number
    return pixels


def _described(number: int, segment: Segment, maker: Maker) -> hd.seg.SegmentDescription:
    """Returns what is said of a segment."""
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:MAX_LABEL].replace("\\", "/"),
        segmented_property_category=segment.category,
        segmented_property_type=segment.kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=maker.model,
            version=maker.model_version,
            family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
        ),
        tracking_id=segment.tracking_id,
        tracking_uid=segment.tracking_uid,
        anatomic_regions=[codes.PANCREAS] if segment.kind == codes.LESION else None,
        display_color=hd.color.CIELabColor.from_rgb(*segment.colour),
    )

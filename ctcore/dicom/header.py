"""The header of a DICOM object: what decides whether and where it is a slice of a CT."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ctcore.dicom.source import DicomSource
from ctcore.errors import RequestError, UnreadableImageError, first_line

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
HEAD_BYTES = PREAMBLE_BYTES + len(MAGIC)

_GROUP_8 = b"\x08\x00"
_FIRST_ELEMENTS = frozenset({0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0016, 0x0018})
"""Elements of group 0008 with which an object without a preamble begins."""

DEFLATED = "1.2.840.10008.1.2.1.99"
"""Deflated Explicit VR Little Endian: the whole object is one compressed stream, of unknown length."""

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR: a list of other files."""

KEYWORDS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "Modality",
    "SeriesDescription",
    "SeriesNumber",
    "ImageType",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "FrameOfReferenceUID",
    "BitsStored",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "GantryDetectorTilt",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
)
"""What is read of a header."""


@dataclass(frozen=True)
class Header:
    """What is known of a DICOM object without its voxels. Text is empty and numbers are None where it says nothing.

    Attributes:
        source: where it lies.
        patient, study, series, instance: PatientID; UIDs.
        sop_class: UID of the kind of object.
        modality: `CT`, `MR`, ...
        description: of the series, free text.
        number: of the series.
        image_type: for instance `("ORIGINAL", "PRIMARY", "AXIAL")`.
        rows: voxels along y of the slice.
        columns: voxels along x of the slice.
        spacing: distance of (rows, columns), mm.
        orientation: unit vectors along a row (x, y, z) and along a column, LPS.
        position: centre of the first voxel (x, y, z), LPS mm.
        bits: of a stored value.
        samples: values a voxel.
        photometric: how a value is shown.
        frames: slices in this object.
        slope, intercept: HU = slope * stored value + intercept.
        rescale_type: unit of that; empty for a CT's HU.
        tilt: gantry or detector, degrees.
        acquisition: tells apart what was taken at one place at several times.
        transfer_syntax: UID of how it is stored.
        case_tag: value of the tag that names cases, or None where none was asked for.
    """

    source: DicomSource
    patient: str
    study: str
    series: str
    instance: str
    sop_class: str
    modality: str
    description: str
    number: int | None
    image_type: tuple[str, ...]
    rows: int
    columns: int
    spacing: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    position: tuple[float, float, float] | None
    bits: int
    samples: int
    photometric: str
    frames: int
    slope: float | None
    intercept: float | None
    rescale_type: str
    tilt: float
    acquisition: tuple[str, str]
    transfer_syntax: str
    case_tag: str | None


def is_dicom(head: bytes) -> bool:
    """Tells whether a file is a DICOM object by its first `HEAD_BYTES` bytes; one without preamble counts, too."""
    if head[PREAMBLE_BYTES:HEAD_BYTES] == MAGIC:
        return True
    return head[:2] == _GROUP_8 and int.from_bytes(head[2:4], "little") in _FIRST_ELEMENTS


def tag_of(text: str) -> int:
    """Returns the tag of a keyword (`PatientID`) or of numbers (`0010,0020`).

    Raises:
        RequestError: there is no such tag.
    """
    from pydicom.datadict import tag_for_keyword

    digits = text.strip("()").replace(",", "")
    if len(digits) == 8:
        try:
            return int(digits, 16)
        except ValueError:
            pass
    tag = tag_for_keyword(text) if text else None
    if tag is None:
        raise RequestError(
            f"'{text}' is no DICOM tag; give its keyword or numbers, for instance PatientID or 0010,0020"
        )
    return tag


def read_header(handle: BinaryIO, source: DicomSource, case_tag: int | None = None) -> Header:
    """Reads the header of a DICOM object, and nothing of its voxels.

    Args:
        handle: the object, at its beginning; seekable.
        source: where it lies.
        case_tag: a tag whose value is kept, too.

    Raises:
        UnreadableImageError: it is damaged, ends early, or is stored in a way that cannot be bounded.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values that break the standard's rules; those that matter are checked
            _refuse_deflated(handle, source)
            tags: list[Any] = [*KEYWORDS] + ([] if case_tag is None else [case_tag])
            dataset = dcmread(handle, stop_before_pixels=True, specific_tags=tags, force=True)
            header = _header(dataset, source, case_tag)
    except UnreadableImageError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value leads to
        raise UnreadableImageError(
            f"'{source.name}' has a damaged DICOM header: {first_line(error)}; copy or export it again"
        ) from error
    if header.sop_class != DIRECTORY_CLASS and not (header.sop_class and header.series and header.instance):
        raise UnreadableImageError(
            f"'{source.name}' ends within its DICOM header, or does not say what it is; copy or export it again"
        )
    return header


def _refuse_deflated(handle: BinaryIO, source: DicomSource) -> None:
    """Looks at the transfer syntax before pydicom would inflate the object, whatever it comes to."""
    from pydicom.filereader import read_dataset

    head = handle.read(HEAD_BYTES)
    if head[PREAMBLE_BYTES:] == MAGIC:
        meta = read_dataset(handle, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
            raise UnreadableImageError(f"'{source.name}' is a deflated DICOM object; export it uncompressed")
    handle.seek(0, io.SEEK_SET)


def _header(dataset: Dataset, source: DicomSource, case_tag: int | None) -> Header:
    def text(keyword: str) -> str:
        value = dataset.get(keyword)
        return "" if value is None else str(value).strip()

    def number(keyword: str) -> float | None:
        value = dataset.get(keyword)
        return None if value is None or value == "" else float(value)

    def numbers(keyword: str, count: int) -> tuple[float, ...] | None:
        value = dataset.get(keyword)
        if value is None or value == "" or not isinstance(value, Sequence) or len(value) != count:
            return None
        return tuple(float(item) for item in value)

    meta = getattr(dataset, "file_meta", {})
    spacing, position = numbers("PixelSpacing", 2), numbers("ImagePositionPatient", 3)
    series_number = number("SeriesNumber")
    image_type = dataset.get("ImageType") or ()
    tagged = None if case_tag is None else dataset.get(case_tag)
    return Header(
        source=source,
        patient=text("PatientID"),
        study=text("StudyInstanceUID"),
        series=text("SeriesInstanceUID"),
        instance=text("SOPInstanceUID"),
        sop_class=text("SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", "")),
        modality=text("Modality"),
        description=text("SeriesDescription"),
        number=None if series_number is None else int(series_number),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(str(word) for word in image_type),
        rows=int(number("Rows") or 0),
        columns=int(number("Columns") or 0),
        spacing=None if spacing is None else (spacing[0], spacing[1]),
        orientation=numbers("ImageOrientationPatient", 6),
        position=None if position is None else (position[0], position[1], position[2]),
        bits=int(number("BitsStored") or 0),
        samples=int(number("SamplesPerPixel") or 0),
        photometric=text("PhotometricInterpretation"),
        frames=int(number("NumberOfFrames") or 1),
        slope=number("RescaleSlope"),
        intercept=number("RescaleIntercept"),
        rescale_type=text("RescaleType"),
        tilt=number("GantryDetectorTilt") or 0.0,
        acquisition=(text("AcquisitionNumber"), text("TemporalPositionIdentifier")),
        transfer_syntax=str(meta.get("TransferSyntaxUID", "")),
        case_tag=None if case_tag is None else str(tagged.value if tagged is not None else "").strip(),
    )

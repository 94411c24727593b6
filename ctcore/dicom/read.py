"""From a chosen series to a volume in Hounsfield units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctcore.bounds import check_extent
from ctcore.dicom.choose import DicomSeries
from ctcore.dicom.codestream import coded_size
from ctcore.dicom.decode import DECODED, decode
from ctcore.dicom.header import Header
from ctcore.dicom.source import Opener
from ctcore.errors import UnreadableImageError, first_line
from ctcore.plausible import judge_ct
from ctcore.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)


RLE = "1.2.840.10008.1.2.5"
"""Transfer syntax whose streams do not say how large the slice is."""

END_OF_IMAGE = b"\xff\xd9"
"""Last marker of JPEG, JPEG-LS (EOI) and JPEG 2000 (EOC)."""

LARGEST_SHARE = 2
"""Most that compression may make a slice larger."""

HEADERS_BYTES = 1 << 16
"""What headers inside a compressed slice may take."""


def read_series(series: DicomSeries) -> Volume:
    """Reads a series: int16 Hounsfield units (int32 where they do not fit), float32 where slopes are not whole.

    Compressed slices are decoded by imagecodecs (JPEG, JPEG lossless, JPEG-LS, JPEG 2000) and pydicom (RLE).
    Every slice has its own slope and intercept.

    Raises:
        CaseError: the series' fault.
        UnreadableImageError: a slice is truncated, damaged, has changed since it was found, or is compressed in
            another way.
        CaseError: as `judge_ct`.
    """
    if series.geometry is None:
        raise series.fault or UnreadableImageError(f"series {series.digest} makes no volume; {series.reason}")
    check_extent(series.geometry, f"series {series.digest}")
    whole = all(
        float(value).is_integer() for header in series.slices for value in (header.slope or 0, header.intercept or 0)
    )
    with Opener() as opener:
        first = _stored(opener, series.slices[0])  # before the volume is made: what cannot be decoded costs no memory
        array: npt.NDArray[Any] = np.empty(series.geometry.shape, dtype=np.int16 if whole else np.float32)
        for index, header in enumerate(series.slices):
            values = _hounsfield(_stored(opener, header) if index else first, header, whole=whole)
            if array.dtype == np.int16 and not _fits(values, array.dtype):
                array = array.astype(np.int32)
            array[index] = values
    return judge_ct(Volume(array, series.geometry), f"DICOM series {series.digest}")


def _fits(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> bool:
    limits = np.iinfo(np.dtype(dtype))
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _hounsfield(stored: npt.NDArray[Any], header: Header, *, whole: bool) -> npt.NDArray[Any]:
    """Returns the slope times stored values plus the intercept: exact for whole numbers, else in double precision."""
    slope, intercept = header.slope or 0.0, header.intercept or 0.0
    if whole:
        return stored.astype(np.int64) * int(slope) + int(intercept)
    return stored.astype(np.float64) * slope + intercept


def _values(dataset: Dataset, header: Header) -> npt.NDArray[Any]:
    """Returns the stored values of a slice; a compressed one is refused if a decoder would make more than it should."""
    from pydicom.encaps import generate_frames

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return dataset.pixel_array
    if syntax not in DECODED and syntax != RLE:
        raise UnreadableImageError(f"slice '{header.source.name}' is stored as {syntax.name}; export it uncompressed")
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    most = LARGEST_SHARE * header.rows * header.columns * int(dataset.BitsAllocated) // 8 + HEADERS_BYTES
    size = coded_size(stream)
    wrong = size != (header.rows, header.columns) if syntax != RLE else size is not None
    if wrong or len(stream) > most:
        raise UnreadableImageError(
            f"slice '{header.source.name}' of {header.rows} x {header.columns} voxels is compressed to {len(stream)}"
            f" bytes that say {size}; export it again"
        )
    if syntax == RLE:
        return dataset.pixel_array
    if not stream.rstrip(b"\0").endswith(END_OF_IMAGE):  # CharLS looks for the rest of a JPEG-LS stream for ever
        raise UnreadableImageError(f"slice '{header.source.name}' ends within its compressed voxels; copy it again")
    return decode(stream, syntax, bits=int(dataset.BitsStored), signed=bool(dataset.PixelRepresentation))


def _stored(opener: Opener, header: Header) -> npt.NDArray[Any]:
    """Returns the stored values (row, column) of a slice."""
    from pydicom import dcmread

    name = header.source.name
    try:
        with opener.open(header.source) as handle:
            dataset = dcmread(handle, specific_tags=list(PIXEL_KEYWORDS), force=True)
        if (dataset.get("Rows"), dataset.get("Columns")) != (header.rows, header.columns):
            raise UnreadableImageError(f"'{name}' has changed since it was found; run again")
        if "TransferSyntaxUID" not in dataset.file_meta:
            from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

            little = dataset.original_encoding[1]  # an object without preamble is never compressed
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if little else ExplicitVRBigEndian
        pixels = _values(dataset, header)
    except UnreadableImageError:
        raise
    except Exception as error:  # pydicom and the decoders raise whatever a damaged slice leads to
        raise UnreadableImageError(
            f"slice '{name}' cannot be read: {first_line(error)[:200]}; copy or export it again"
        ) from error
    if pixels.shape != (header.rows, header.columns):
        raise UnreadableImageError(
            f"slice '{name}' is decoded to {pixels.shape} instead of {header.rows} x {header.columns} voxels; export it"
            " again"
        )
    return pixels

"""MetaImage headers (`.mha`, `.mhd`), judged line by line before ITK reads the image."""

from __future__ import annotations

import re
from pathlib import Path

from ctcore.bounds import check_stored
from ctcore.text_header import MAX_AXES, NUMBER, WHOLE, HeaderFields, StoredVoxels, data_file, header_lines, refused

VOXEL_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
"""Bytes of a component, by ElementType."""

LARGEST_CHANNELS = 64
"""Components of a voxel that are told from nonsense; more than one are refused later, with their number."""

_BOOL = re.compile(r"(?i:true|false|t|f|0|1)")
_TRUE = ("true", "t", "1")
_OTHER_KEYS = re.compile(r"[A-Za-z0-9_|(),. -]{1,100}")
_LINE = re.compile(r"\s*([^=]*?)\s*=\s*(.*?)\s*")


def _numbers(count: int, number: str = NUMBER) -> re.Pattern[str]:
    return re.compile(rf"{number}(?:\s+{number}){{{count - 1}}}")


def _forms(axes: int) -> dict[str, re.Pattern[str]]:
    """Returns the form of every value that ITK computes with, for a number of axes."""
    matrix, vector = _numbers(axes * axes), _numbers(axes)
    return {
        "ObjectType": re.compile("Image"),
        "NDims": re.compile(rf"[1-{MAX_AXES}]"),
        "BinaryData": re.compile(r"(?i:true|t|1)"),
        "CompressedData": _BOOL,
        "CompressedDataSize": re.compile(WHOLE),
        "BinaryDataByteOrderMSB": _BOOL,
        "ElementByteOrderMSB": _BOOL,
        "HeaderSize": re.compile("0"),
        **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), matrix),
        **dict.fromkeys(("Offset", "Position", "Origin", "CenterOfRotation"), vector),
        **dict.fromkeys(("ElementSpacing", "ElementSize"), vector),
        "DimSize": _numbers(axes, WHOLE),
        "SequenceID": _numbers(axes),
        "AnatomicalOrientation": re.compile(r"[A-Za-z?]{1,4}"),
        "ElementNumberOfChannels": re.compile(r"\d{1,3}"),
        "ElementType": re.compile("|".join(VOXEL_BYTES)),
        **dict.fromkeys(("ElementNBits", "CompressionLevel", "ID", "ParentID"), re.compile(r"-?\d{1,9}")),
        **dict.fromkeys(("ElementMin", "ElementMax"), re.compile(NUMBER)),
        **dict.fromkeys(("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"), re.compile(NUMBER)),
        "Color": _numbers(4),
        "ElementDataFile": re.compile(r".{1,255}"),
    }


_NEEDED = ("NDims", "DimSize", "ElementType")


def read_metaimage_header(path: Path) -> StoredVoxels:
    """Reads and judges a MetaImage header, and nothing of the voxels.

    Raises:
        UnreadableImageError: a line is of no known form, is there twice or missing, or the voxels lie elsewhere or are
            too few.
        ImageDimensionError: it says that it has more voxels than any CT.
    """
    fields = HeaderFields(path, _forms, "NDims", _OTHER_KEYS)
    with path.open("rb") as handle:
        for line in header_lines(handle, path):
            match = _LINE.fullmatch(line)
            key, value = (match[1], match[2]) if match is not None else ("", "")
            fields.add(key, value, line)
            if key == "ElementDataFile":
                break
        start = handle.tell()
    fields.need(_NEEDED)
    local = fields["ElementDataFile"].upper() == "LOCAL"
    held = path if local else data_file(path, fields["ElementDataFile"])
    size = tuple(int(n) for n in fields["DimSize"].split())
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    if min(size) < 1 or not 1 <= channels <= LARGEST_CHANNELS:
        raise refused(path, f"its header says {fields['DimSize']} voxels of {channels} values")
    voxels = StoredVoxels(
        size,
        channels * VOXEL_BYTES[fields["ElementType"]],
        held,
        start if local else 0,
        fields.get("CompressedData", "").lower() in _TRUE,
    )
    check_stored(path.name, size, voxels.voxel_bytes, held.stat().st_size - voxels.start, deflated=voxels.deflated)
    return voxels

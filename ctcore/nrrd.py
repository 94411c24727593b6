"""NRRD headers (`.nrrd`), judged line by line before ITK reads the image."""

from __future__ import annotations

import re
from pathlib import Path

from ctcore.bounds import check_stored
from ctcore.text_header import MAX_AXES, NUMBER, WHOLE, HeaderFields, StoredVoxels, data_file, header_lines, refused

_TYPES = {
    1: "signed char|int8|int8_t|uchar|unsigned char|uint8|uint8_t",
    2: "short|short int|signed short|signed short int|int16|int16_t"
    "|ushort|unsigned short|unsigned short int|uint16|uint16_t",
    4: "int|signed int|int32|int32_t|uint|unsigned int|uint32|uint32_t|float",
    8: "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t"
    "|ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t|double",
}
VOXEL_BYTES = {name: size for size, names in _TYPES.items() for name in names.split("|")}
"""Bytes of a component, by what the format calls its type."""

DEFLATED = ("gzip", "gz")
"""Names of the one compression that is read."""

MAGIC = re.compile(r"NRRD000[1-5]")

_REAL = rf"(?:{NUMBER}|nan|NaN|none)"
_VECTOR = rf"\(\s*{NUMBER}(?:\s*,\s*{NUMBER}){{0,3}}\s*\)"
_WORD = r"[A-Za-z0-9?*-]{1,40}"
_QUOTED = r'"[^"\\]{0,80}"'
_TEXT = re.compile(r".{0,1000}")


def _each(axes: int, form: str, separator: str = r"\s+") -> re.Pattern[str]:
    return re.compile(rf"{form}(?:{separator}{form}){{{axes - 1}}}")


def _forms(axes: int) -> dict[str, re.Pattern[str]]:
    """Returns the form of every field that is read, for a number of axes; names without spaces, in lower case."""
    per_axis = {
        "sizes": _each(axes, WHOLE),
        "spacedirections": _each(axes, rf"(?:{_VECTOR}|none)"),
        **dict.fromkeys(("spacings", "thicknesses", "axismins", "axismaxs"), _each(axes, _REAL)),
        **dict.fromkeys(("kinds", "centers", "centerings"), _each(axes, _WORD)),
        **dict.fromkeys(("labels", "units"), _each(axes, _QUOTED, r"\s*")),
    }
    return per_axis | {
        "type": re.compile("|".join(VOXEL_BYTES)),
        "dimension": re.compile(rf"[1-{MAX_AXES}]"),
        "space": re.compile(
            r"(?i:(?:right|left)-(?:anterior|posterior)-(?:superior|inferior)|[RL][AP][SI]|3D-(?:right|left)-handed)"
        ),
        "spacedimension": re.compile(rf"[1-{MAX_AXES}]"),
        "spaceorigin": re.compile(_VECTOR),
        "spaceunits": re.compile(rf"{_QUOTED}(?:\s*{_QUOTED}){{0,3}}"),
        "measurementframe": re.compile(rf"{_VECTOR}(?:\s+{_VECTOR}){{0,3}}"),
        "endian": re.compile(r"(?i:little|big)"),
        "encoding": re.compile(r"(?i:raw|gzip|gz)"),
        **dict.fromkeys(("lineskip", "byteskip"), re.compile("0")),
        **dict.fromkeys(("min", "max", "oldmin", "oldmax"), re.compile(_REAL)),
        "number": re.compile(WHOLE),
        **dict.fromkeys(("content", "sampleunits"), _TEXT),
        "datafile": re.compile(r".{1,255}"),
    }


_NEEDED = ("type", "dimension", "sizes", "encoding")


def read_nrrd_header(path: Path) -> StoredVoxels:
    """Reads and judges a NRRD header, and nothing of the voxels.

    Raises:
        UnreadableImageError: a line is of no known form, is there twice or missing, or the voxels lie elsewhere or are
            too few.
        ImageDimensionError: it says that it has more voxels than any CT.
    """
    fields = HeaderFields(path, _forms, "dimension")
    with path.open("rb") as handle:
        lines = header_lines(handle, path)
        if not MAGIC.fullmatch(next(lines)):
            raise refused(path, "it does not begin like a NRRD file")
        for line in lines:
            if not line:
                break
            if line.startswith("#") or ":=" in line:  # a comment, or a key of the user's own
                continue
            key, colon, value = line.partition(":")
            fields.add(key.replace(" ", "").lower() if colon else "", value.strip(), line)
        start = handle.tell()
    fields.need(_NEEDED)
    held = data_file(path, fields["datafile"]) if "datafile" in fields else path
    size = tuple(int(n) for n in fields["sizes"].split())
    if min(size) < 1:
        raise refused(path, f"its header says sizes {fields['sizes']}")
    voxels = StoredVoxels(
        size,
        VOXEL_BYTES[fields["type"]],
        held,
        0 if "datafile" in fields else start,
        fields["encoding"].lower() in DEFLATED,
    )
    check_stored(path.name, size, voxels.voxel_bytes, held.stat().st_size - voxels.start, deflated=voxels.deflated)
    return voxels

"""Case ids of series: names that do not identify the patient by default, and are safe as file names always."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ctcore.dicom.choose import DicomSeries, digest_of

PREFIX = "ct-"
MAX_LENGTH = 64

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def case_ids(series: Sequence[DicomSeries]) -> list[str]:
    """Returns a case id for each series: by default `ct-` and the digest of its UIDs.

    Where a tag was asked for, its value, in which whatever is not a letter, a digit, a dot, a hyphen or an underscore
    becomes an underscore; series with the same value, or without one, have the digest as well.
    """
    names = [safe_name(one.first.case_tag or "") or f"{PREFIX}{one.digest}" for one in series]
    same = Counter(name.casefold() for name in names)
    ids = [
        f"{name}-{one.digest}" if same[name.casefold()] > 1 else name for name, one in zip(names, series, strict=True)
    ]
    still = Counter(name.casefold() for name in ids)  # one series UID, several patients: badly made anonymous
    return [
        f"{name}-{digest_of(one.first.patient, one.first.instance)}" if still[name.casefold()] > 1 else name
        for name, one in zip(ids, series, strict=True)
    ]


def safe_name(text: str) -> str:
    """Returns text as a name that every file system takes and that leads nowhere else; empty where nothing is left."""
    name = _UNSAFE.sub("_", text.strip()).strip("._-")[:MAX_LENGTH].rstrip("._-")
    return f"_{name}" if _RESERVED.fullmatch(name) else name

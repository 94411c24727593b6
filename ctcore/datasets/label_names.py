"""Names of labels in the wild, brought to this project's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ctcore.errors import DatasetError
from ctcore.json_files import read_json
from ctcore.labels import LESION_NAMES

LARGEST_VALUE = 255
"""Label maps are handled as bytes."""

LESION = "lesion"
PANCREAS_PARTS = (LESION, "pancreas", "pancreatic duct")
"""Labels that the localizer calls pancreas: the gland with its duct and any lesion in it."""

_LESION_SYNONYMS = frozenset({*LESION_NAMES, "cancer", "pdac lesion", "tumour"})


def project_name(name: str) -> str:
    """Returns this project's name of a label: lower case, and `lesion` for tumor, PDAC, cancer."""
    lower = name.strip().lower()
    return LESION if lower in _LESION_SYNONYMS else lower


def is_lesion(name: str) -> bool:
    """Tells whether a label is a lesion: by its name, or as one of several that each have `lesion` as a word."""
    return project_name(name) == LESION or LESION in project_name(name).replace("_", " ").replace("-", " ").split()


def values_of(labels: Mapping[str, int], names: Collection[str]) -> list[int]:
    """Returns the values of those labels whose name (in this project's form) is among `names`.

    Where `lesion` is among them, the labels of all kinds of lesion are meant (`cystic lesion`).
    """
    return sorted(
        value for name, value in labels.items() if project_name(name) in names or (LESION in names and is_lesion(name))
    )


def read_label_names(path: Path) -> dict[str, int]:
    """Reads the labels of a `dataset.json`: MSD's `{"1": "pancreas"}` or nnU-Net's `{"pancreas": 1}`.

    Returns:
        Label value by this project's name.

    Raises:
        RequestError: the file is missing or is not JSON.
        DatasetError: it has no labels, one is a region of several values, or two mean the same.
    """
    document = read_json(path)
    entries = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise DatasetError(f'\'{path}\' names no labels; add "labels": {{"background": 0, "pancreas": 1, ...}}')
    labels: dict[str, int] = {}
    for key, entry in entries.items():
        name, value = _entry(path, str(key), entry)
        if not 0 <= value <= LARGEST_VALUE:
            raise DatasetError(f"label '{name}' of '{path}' is {value}; use 0 to {LARGEST_VALUE}")
        if name in labels or value in labels.values():
            raise DatasetError(f"'{path}' says '{name}' = {value}, but has that name or value before; keep one")
        labels[name] = value
    return labels


def _entry(path: Path, key: str, entry: Any) -> tuple[str, int]:
    if isinstance(entry, bool) or not isinstance(entry, int | str) or (isinstance(entry, str) and not key.isdigit()):
        raise DatasetError(f"label '{key}' of '{path}' is {entry!r}; give one whole number for each name")
    return (project_name(entry), int(key)) if isinstance(entry, str) else (project_name(key), entry)

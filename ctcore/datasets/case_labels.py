"""The table `case_id,class_name` that gives each case its class."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ctcore.datasets.description import MANUAL, PSEUDO
from ctcore.durable import write_text
from ctcore.errors import DatasetError, first_line
from ctcore.text import safe_id


def read_case_labels(path: Path) -> dict[str, str]:
    """Reads a table `case_id,class_name`.

    Raises:
        DatasetError: it is missing, lacks a column, has an empty class, or names a case twice with different classes.
    """
    if not path.is_file():
        raise DatasetError(f"'{path}' is missing; write one row `case_id,class_name` for each case")
    classes: dict[str, str] = {}
    try:
        rows = _rows(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"'{path}' cannot be read as a table: {first_line(error)}; save it again as CSV") from error
    for row in rows:
        case_id, class_name = safe_id(row["case_id"] or ""), row["class_name"]
        if not class_name:
            raise DatasetError(f"case '{case_id}' has no class in '{path}'; fill it in")
        if classes.setdefault(case_id, class_name) != class_name:
            raise DatasetError(f"case '{case_id}' is both '{classes[case_id]}' and '{class_name}' in '{path}'")
    return classes


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        if not {"case_id", "class_name"} <= set(reader.fieldnames or ()):
            raise DatasetError(f"'{path}' has columns {reader.fieldnames}; it needs case_id and class_name")
        return list(reader)


def lesion_count_of(row: Mapping[str, str], table: Path) -> int | None:
    """Returns what a row's `lesion_count` says, the number of lesions in the report; None where it says nothing.

    Raises:
        DatasetError: it is no whole number.
    """
    text = row.get("lesion_count", "")
    if not text:
        return None
    if not text.isdecimal():
        raise DatasetError(f"lesion_count '{text}' in '{table}' is no number of lesions; give 0, 1, 2, ... or nothing")
    return int(text)


def label_source_of(row: Mapping[str, str], table: Path) -> str:
    """Returns what a row's `label_source` says; `manual` where it says nothing.

    Raises:
        DatasetError: it is neither `manual` nor `pseudo`.
    """
    text = row.get("label_source") or MANUAL
    if text not in (MANUAL, PSEUDO):
        raise DatasetError(f"label_source '{text}' in '{table}' is unknown; use {MANUAL} or {PSEUDO}")
    return text


def write_case_labels(path: Path, classes: Mapping[str, str]) -> None:
    """Writes a table `case_id,class_name`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case_id", "class_name"))
    table.writerows(sorted(classes.items()))
    write_text(path, text.getvalue())

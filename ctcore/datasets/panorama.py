"""The layout of the PANORAMA challenge: `images`, `manual_labels`, `automatic_labels` and a clinical table."""

from __future__ import annotations

from pathlib import Path

from ctcore.datasets.case_labels import lesion_count_of
from ctcore.datasets.description import Dataset, DatasetCase, Layout
from ctcore.datasets.pairing import images_of, labels_of
from ctcore.datasets.spreadsheet import read_rows
from ctcore.errors import DatasetError

LABEL_FOLDERS = ("manual_labels", "automatic_labels")
"""Where label maps are; of a case that both hold, the first counts: a person drew it."""

TABLES = ("clinical_information.csv", "clinical_information.xlsx")
"""The table of classes; of both, the first is read."""

STUDY, PATIENT, CLASS = "PANORAMA_study_id", "PANORAMA_patient_id", "label"


def read_panorama(folder: Path) -> Dataset:
    """Reads a PANORAMA dataset.

    A case is a study; studies of one patient share the id before the underscore, also where the table has no row.

    Raises:
        RequestError: `images` is missing or empty, or a folder holds one case twice.
        DatasetError: there is no table, it lacks a column, or it gives one study twice with different classes.
    """
    images = images_of(folder / "images")
    labels = [labels_of(folder / name) for name in LABEL_FOLDERS]
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is None:
        raise DatasetError(f"'{folder}' holds none of {' and '.join(TABLES)}; put PANORAMA's table there")
    rows = _rows_by_study(table)
    cases = []
    for case_id, image in images.items():
        label, source = next(
            ((found[case_id], name) for found, name in zip(labels, LABEL_FOLDERS, strict=True) if case_id in found),
            (None, ""),
        )
        row = rows.get(case_id, {})
        patient = row.get(PATIENT) or case_id.partition("_")[0]
        cases.append(
            DatasetCase(
                case_id,
                image,
                label,
                row.get(CLASS) or None,
                patient,
                source,
                lesion_count=lesion_count_of(row, table),
            )
        )
    return Dataset(
        Layout.PANORAMA,
        folder,
        tuple(cases),
        class_origin=table.name,
        rows_without_image=len(rows.keys() - images.keys()),
        labels_without_image=len(set().union(*labels) - images.keys()),
    )


def _rows_by_study(table: Path) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for row in read_rows(table):
        missing = [column for column in (STUDY, PATIENT, CLASS) if column not in row]
        if missing:
            raise DatasetError(f"'{table}' has columns {list(row)}; it needs {', '.join(missing)}")
        first = rows.setdefault(row[STUDY], row)
        if first[CLASS] != row[CLASS]:
            raise DatasetError(f"study '{row[STUDY]}' is both '{first[CLASS]}' and '{row[CLASS]}' in '{table}'")
    return rows

"""What is evaluated: an output of `pipeline run`, or a plain folder of detection maps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.maps import discover_maps
from ctcore.files import discover, label_id_of
from ctcore.json_files import read_json
from ctcore.text import safe_id

RESULTS_FILE = "results.csv"
RUN_FILE = "run.json"
MAPS_FOLDER = "detection_maps"
SEGMENTATIONS_FOLDER = "segmentations"
CASES_FOLDER = "cases"
PROBABILITY_PREFIX = "p_"
"""Of the columns of results.csv that hold the probability of a class."""

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Prediction:
    """The prediction of one case.

    Attributes:
        case_id: the case.
        detection_map: file of its detection map.
        score: its fused score, or None if the maximum of the map is its score.
        label: its predicted class, or None if it has none.
        probabilities: the classifier's probabilities by class, empty if it has none.
        segmentation: file of its segmentation, or None.
        segmentation_labels: values of the segmentation by name.
    """

    case_id: str
    detection_map: Path
    score: float | None
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    segmentation: Path | None = None
    segmentation_labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """All predictions of a folder.

    Attributes:
        cases: sorted by case id.
        failed: ids of the cases that the run could not do; they have no prediction.
        kind: `run` for an output of `pipeline run`, `maps` for plain detection maps.
    """

    cases: tuple[Prediction, ...]
    failed: tuple[str, ...]
    kind: str


def read_predictions(path: Path) -> Predictions:
    """Finds the predictions of a folder.

    Raises:
        RequestError: the folder is missing, empty, or an incomplete output of `pipeline run`.
        DatasetError: its results.csv contradicts itself or its detection maps.
    """
    results = path / RESULTS_FILE
    if not results.is_file() and not (path / RUN_FILE).is_file():
        return Predictions(tuple(Prediction(case.case_id, case.path, None) for case in discover_maps(path)), (), "maps")
    if not results.is_file():
        raise RequestError(f"'{path}' holds {RUN_FILE} but no {RESULTS_FILE}: the run did not end; run it again")
    rows, failed = _read_results(results)
    if not rows:
        raise RequestError(f"no case of '{results}' is done ({len(failed)} failed: {listed(failed)}); run them again")
    folder = path / MAPS_FOLDER
    if not folder.is_dir():
        raise RequestError(f"'{path}' holds {RESULTS_FILE} but no folder {MAPS_FOLDER}; run it again")
    maps = {case.case_id: case.path for case in discover(folder, label_id_of)}
    without_map = sorted(set(rows) - set(maps))
    if without_map:
        raise DatasetError(f"no detection map in '{folder}' for {listed(without_map)}; run the cases again")
    without_row = sorted(set(maps) - set(rows) - set(failed))
    if without_row:
        raise DatasetError(
            f"'{results}' has no row for the detection maps of {listed(without_row)}; run the cases again"
        )
    segmentations = _segmentations(path)
    cases = []
    for case_id in sorted(rows):
        record = _record(path, case_id)
        cases.append(
            Prediction(
                case_id,
                maps[case_id],
                rows[case_id].score,
                record.get("label"),
                rows[case_id].probabilities,
                segmentations.get(case_id),
                record.get("segmentation_labels") or {},
            )
        )
    return Predictions(tuple(cases), tuple(sorted(failed)), "run")


def listed(names: Iterable[str]) -> str:
    """Returns names for an error message: the first few, and how many more there are."""
    names = list(names)
    more = len(names) - _NAMES_SHOWN
    return ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def read_table(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Reads a CSV with a header as rows (all columns) by case id.

    Args:
        path: the file.
        columns: columns that it must have, the first of which is the case id.

    Raises:
        RequestError: the file cannot be read.
        DatasetError: a column is missing, or a case id is empty or occurs twice.
    """
    rows: dict[str, dict[str, str]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(f"'{path}' lacks the column '{missing[0]}'; it needs {','.join(columns)}")
            for row in reader:
                case_id = safe_id((row[columns[0]] or "").strip())
                if not case_id or case_id in rows:
                    raise DatasetError(f"'{path}' has the case id '{case_id}' empty or twice; give one row a case")
                rows[case_id] = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"'{path}' cannot be read as CSV: {error}; check the path") from error
    return rows


@dataclass(frozen=True)
class _Row:
    """What results.csv says of a case that is done."""

    score: float
    probabilities: dict[str, float]


def _read_results(path: Path) -> tuple[dict[str, _Row], list[str]]:
    """Returns what is said of the cases that are done and the ids of the failed ones."""
    rows: dict[str, _Row] = {}
    failed = []
    for case_id, row in read_table(path, ("case_id", "status", "score")).items():
        if row["status"] == "failed":
            failed.append(case_id)
            continue
        if row["status"] != "done":
            raise DatasetError(f"case '{case_id}' in '{path}' has status '{row['status']}'; expected done or failed")
        probabilities = {
            column.removeprefix(PROBABILITY_PREFIX): _number(path, case_id, column, value)
            for column, value in row.items()
            if column.startswith(PROBABILITY_PREFIX) and value
        }
        rows[case_id] = _Row(_number(path, case_id, "score", row["score"]), probabilities)
    return rows, failed


def _number(path: Path, case_id: str, column: str, text: str) -> float:
    """Returns a cell of the table as a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(f"case '{case_id}' in '{path}' has {column} '{text}'; expected a number")
    return value


def _segmentations(path: Path) -> dict[str, Path]:
    """Returns the segmentations of a run by case, none if the folder was left out."""
    folder = path / SEGMENTATIONS_FOLDER
    if not folder.is_dir() or not any(folder.iterdir()):
        return {}
    return {case.case_id: case.path for case in discover(folder, label_id_of)}


def _record(path: Path, case_id: str) -> dict[str, Any]:
    """Returns the record of a case, empty if it was left out."""
    file = path / CASES_FOLDER / f"{case_id}.json"
    record = read_json(file) if file.is_file() else {}
    if not isinstance(record, dict):
        raise DatasetError(f"'{file}' is not the record of a case; run the case again")
    return record

"""What is evaluated: an output of `pipeline run`, or a plain folder of detection maps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ctcore.errors import DatasetError, RequestError
from ctcore.files import discover

RESULTS_FILE = "results.csv"
RUN_FILE = "run.json"
MAPS_FOLDER = "detection_maps"

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Prediction:
    """The prediction of one case.

    Attributes:
        case_id: the case.
        detection_map: file of its detection map.
        score: its fused score, or None if the maximum of the map is its score.
    """

    case_id: str
    detection_map: Path
    score: float | None


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
        return Predictions(tuple(Prediction(case.case_id, case.path, None) for case in discover(path)), (), "maps")
    if not results.is_file():
        raise RequestError(f"'{path}' holds {RUN_FILE} but no {RESULTS_FILE}: the run did not end; run it again")
    scores, failed = _read_results(results)
    if not scores:
        raise RequestError(f"no case of '{results}' is done ({len(failed)} failed: {listed(failed)}); run them again")
    folder = path / MAPS_FOLDER
    if not folder.is_dir():
        raise RequestError(f"'{path}' holds {RESULTS_FILE} but no folder {MAPS_FOLDER}; run it again")
    maps = {case.case_id: case.path for case in discover(folder)}
    without_map = sorted(set(scores) - set(maps))
    if without_map:
        raise DatasetError(f"no detection map in '{folder}' for {listed(without_map)}; run the cases again")
    without_row = sorted(set(maps) - set(scores) - set(failed))
    if without_row:
        raise DatasetError(
            f"'{results}' has no row for the detection maps of {listed(without_row)}; run the cases again"
        )
    return Predictions(
        tuple(Prediction(case_id, maps[case_id], scores[case_id]) for case_id in sorted(scores)),
        tuple(sorted(failed)),
        "run",
    )


def listed(names: Iterable[str]) -> str:
    """Returns names for an error message: the first few, and how many more there are."""
    names = list(names)
    more = len(names) - _NAMES_SHOWN
    return ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def read_table(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Reads a CSV with a header as rows by case id.

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
                case_id = (row[columns[0]] or "").strip()
                if not case_id or case_id in rows:
                    raise DatasetError(f"'{path}' has the case id '{case_id}' empty or twice; give one row a case")
                rows[case_id] = {column: (row[column] or "").strip() for column in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"'{path}' cannot be read as CSV: {error}; check the path") from error
    return rows


def _read_results(path: Path) -> tuple[dict[str, float], list[str]]:
    """Returns the scores of the cases that are done and the ids of the failed ones."""
    scores: dict[str, float] = {}
    failed = []
    for case_id, row in read_table(path, ("case_id", "status", "score")).items():
        if row["status"] == "failed":
            failed.append(case_id)
            continue
        if row["status"] != "done":
            raise DatasetError(f"case '{case_id}' in '{path}' has status '{row['status']}'; expected done or failed")
        try:
            scores[case_id] = float(row["score"])
        except ValueError:
            scores[case_id] = math.nan
        if not math.isfinite(scores[case_id]):
            raise DatasetError(f"case '{case_id}' in '{path}' has score '{row['score']}'; expected a number")
    return scores, failed

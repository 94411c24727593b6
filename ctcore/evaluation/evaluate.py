"""Evaluates predictions against labels: what `pipeline evaluate` does."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ctcore import files
from ctcore.errors import CaseError, DatasetError, RequestError, first_line
from ctcore.evaluation.case_table import CaseRecord, case_table
from ctcore.evaluation.lesion_label import LesionLabel, choose_lesion_label, values_present
from ctcore.evaluation.matching import Outcome, match_case
from ctcore.evaluation.metrics import Counts, Estimate, Metrics
from ctcore.evaluation.predictions import Prediction, Predictions, listed, read_predictions, read_table
from ctcore.evaluation.statistics.bootstrap import auroc_interval, average_precision_interval
from ctcore.evaluation.statistics.curves import precision_recall_curve, roc_curve
from ctcore.labels import CLASS_NAMES, NON_PDAC

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
CASES_FILE = "per_case.csv"
CURVES_FILE = "curves.png"

GRID_TOLERANCE = 1e-3
"""How far map and label may differ: spacing relative, direction absolute, origin in voxels. Formats store the same grid
with differences of 1e-4 mm at most; a shift that could change an overlap is larger."""

Progress = Callable[[int, int], None]
"""Called after every case with the number done and the number of all."""


def evaluate(
    predictions: Path,
    labels: Path,
    output: Path,
    *,
    min_overlap: float = 0.15,
    lesion_label: str | None = None,
    case_labels: Path | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Metrics:
    """Computes AUROC and AP with intervals; writes `metrics.json`, `per_case.csv` and `curves.png`.

    Cases are read one at a time; nothing is written unless all could be evaluated, and `metrics.json` comes last.

    Args:
        predictions: an output of `pipeline run` (score from its results.csv), or a folder of detection maps (the
            score is the map's maximum).
        labels: folder of label maps named like the cases.
        output: folder to write to; made if it is missing.
        min_overlap: smallest IoU of a hit, above 0 and at most 1.
        lesion_label: name (from a dataset.json beside the labels) or value of the lesion; by default see
            `choose_lesion_label`.
        case_labels: CSV with case_id and class_name, which then decides what is positive; else a case is positive if
            its label holds a lesion.
        bootstrap: number of replicates of the intervals; 0 for none.
        seed: of the bootstrap.
        progress: called after every case.

    Raises:
        RequestError: an argument is wrong, or predictions and labels do not fit each other (every message names the
            cases).
    """
    if not (math.isfinite(min_overlap) and 0 < min_overlap <= 1):
        raise RequestError(f"minimum overlap {min_overlap} is not above 0 and at most 1; the challenge's value is 0.15")
    if bootstrap < 0 or seed < 0:
        raise RequestError(f"bootstrap {bootstrap} and seed {seed} must not be negative; 0 replicates: no intervals")
    existing = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not existing.is_dir() or not files.is_writable(existing):
        raise RequestError(f"output '{output}': '{existing}' is not a folder that can be written to; name another")
    found = read_predictions(predictions)
    label_files = _label_files(found, labels)
    lesion = choose_lesion_label(labels, lesion_label)
    positive = None if case_labels is None else _positives(case_labels, found.cases)

    records = []
    present: set[int] = set()
    for number, prediction in enumerate(found.cases, start=1):
        try:
            record = _evaluate_case(prediction, label_files[prediction.case_id], lesion, min_overlap, positive, present)
        except (CaseError, DatasetError) as error:
            raise DatasetError(f"case '{prediction.case_id}': {first_line(error)}") from error
        records.append(record)
        if progress is not None:
            progress(number, len(found.cases))
    lesion.confirm(present)

    settings: dict[str, object] = {
        "predictions": found.kind,
        "score": "results.csv" if found.kind == "run" else "maximum of the detection map",
        "positive": "label holds a lesion" if positive is None else "case labels",
        "min_overlap": min_overlap,
        "overlap": "IoU",
        "connectivity": 26,
        "lesion_label": {"values": list(lesion.values), "origin": lesion.origin},
        "bootstrap": bootstrap,
        "seed": seed,
    }
    return _write(output, records, found.failed, settings, bootstrap, seed)


def _evaluate_case(
    prediction: Prediction,
    label_file: Path,
    lesion: LesionLabel,
    min_overlap: float,
    positive: Mapping[str, bool] | None,
    present: set[int],
) -> CaseRecord:
    """Reads and matches one case; adds its label values to `present` if the choice of lesion depends on them."""
    detection_map, label = files.read(prediction.detection_map), files.read(label_file)
    if not detection_map.geometry.allclose(label.geometry, GRID_TOLERANCE):
        mine, other = detection_map.geometry, label.geometry
        raise DatasetError(
            f"its detection map lies on another grid than its label (map: shape {mine.shape}, spacing {mine.spacing},"
            f" origin {mine.origin}; label: shape {other.shape}, spacing {other.spacing}, origin {other.origin});"
            " nothing is resampled here, write the map on the label's grid"
        )
    mask = lesion.mask(label.array)
    if lesion.assumed:
        present |= values_present(label.array)
    match = match_case(detection_map.array, mask, min_overlap)
    score = match.detection_max if prediction.score is None else prediction.score
    is_positive = match.n_lesions > 0 if positive is None else positive[prediction.case_id]
    return CaseRecord(prediction.case_id, is_positive, score, match)


def _label_files(found: Predictions, labels: Path) -> dict[str, Path]:
    """Returns the label of every predicted case; the two sets must be the same but for failed cases."""
    label_files = {case.case_id: case.path for case in files.discover(labels)}
    predicted = {prediction.case_id for prediction in found.cases}
    without_label = sorted(predicted - set(label_files))
    if without_label:
        raise DatasetError(f"no label in '{labels}' for {listed(without_label)}; add it, or remove the prediction")
    without_prediction = sorted(set(label_files) - predicted - set(found.failed))
    if without_prediction:
        raise DatasetError(f"no prediction for the labels of {listed(without_prediction)}; add it, or remove the label")
    return label_files


def _positives(path: Path, cases: Sequence[Prediction]) -> dict[str, bool]:
    """Returns which cases are positive by a table of case labels."""
    rows = read_table(path, ("case_id", "class_name"))
    missing = [case.case_id for case in cases if case.case_id not in rows]
    if missing:
        raise DatasetError(f"'{path}' has no row for {listed(missing)}; add their class")
    for case in cases:
        name = rows[case.case_id]["class_name"]
        if name not in CLASS_NAMES:
            raise DatasetError(f"case '{case.case_id}' in '{path}' has class '{name}'; use {' or '.join(CLASS_NAMES)}")
    return {case.case_id: rows[case.case_id]["class_name"] != NON_PDAC for case in cases}


def _write(
    output: Path,
    records: Sequence[CaseRecord],
    failed: tuple[str, ...],
    settings: dict[str, object],
    bootstrap: int,
    seed: int,
) -> Metrics:
    """Computes the numbers of all cases and writes the files."""
    from ctcore.evaluation.plots import plot_curves

    scores = [record.score for record in records]
    positive = [record.positive for record in records]
    findings = [record.match.findings for record in records]
    roc = roc_curve(scores, positive)
    precision_recall = precision_recall_curve([finding for made in findings for finding in made])
    metrics = Metrics(
        auroc=Estimate(roc.area if roc else None, auroc_interval(scores, positive, bootstrap, seed)),
        ap=Estimate(
            precision_recall.area if precision_recall else None,
            average_precision_interval(findings, positive, bootstrap, seed),
        ),
        counts=_counts(records, failed),
        failed_cases=failed,
        settings=settings,
        warnings=_warnings(records, failed),
    )
    for warning in metrics.warnings:
        logger.warning(warning)
    output.mkdir(parents=True, exist_ok=True)
    (output / METRICS_FILE).unlink(missing_ok=True)  # the sign of a complete evaluation
    files.write_text(output / CASES_FILE, case_table(records, failed))
    plot_curves(output / CURVES_FILE, metrics, roc, precision_recall)
    files.write_json(output / METRICS_FILE, metrics.as_dict())
    return metrics


def _counts(records: Sequence[CaseRecord], failed: Sequence[str]) -> Counts:
    """Counts cases, lesions and candidates."""
    matches = [record.match for record in records]
    positive = sum(record.positive for record in records)
    return Counts(
        cases=len(records),
        positive=positive,
        negative=len(records) - positive,
        failed=len(failed),
        lesions=sum(match.n_lesions for match in matches),
        hits=sum(match.count(Outcome.HIT) for match in matches),
        missed=sum(match.n_missed for match in matches),
        candidates=sum(len(match.candidates) for match in matches),
        false_positives=sum(match.count(Outcome.FALSE_POSITIVE) for match in matches),
        ignored=sum(match.count(Outcome.IGNORED) for match in matches),
    )


def _warnings(records: Sequence[CaseRecord], failed: Sequence[str]) -> tuple[str, ...]:
    """Returns what a reader of the numbers must know."""
    warnings = []
    if failed:
        warnings.append(f"{len(failed)} failed cases have no prediction and are not in the numbers: {listed(failed)}")
    for name, wanted in (("positive", True), ("negative", False)):
        if not any(record.positive is wanted for record in records):
            warnings.append(f"no {name} case: the AUROC is undefined")
    if not any(record.match.n_lesions for record in records):
        warnings.append("no lesion in any label: the AP is undefined")
    empty = [record.case_id for record in records if record.positive and not record.match.n_lesions]
    if empty:
        warnings.append(
            f"{len(empty)} positive cases have no lesion in their label; all their candidates count as false positives:"
            f" {listed(empty)}"
        )
    surplus = [record.case_id for record in records if not record.positive and record.match.n_lesions]
    if surplus:
        warnings.append(f"{len(surplus)} negative cases have a lesion in their label: {listed(surplus)}")
    return tuple(warnings)

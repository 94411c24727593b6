"""A study: predictions against labels, case by case, before any number is made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcore import files
from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.lesion_label import LesionLabel, choose_lesion_label, label_names
from ctcore.evaluation.maps import NUMPY_SUFFIXES
from ctcore.evaluation.matching import MatchingRule, match
from ctcore.evaluation.measure import CaseFault, CaseJob, CaseMeasurement, SegmentedLabel, measure_cases
from ctcore.evaluation.predictions import Prediction, Predictions, listed, read_predictions
from ctcore.evaluation.tables import CaseRecord
from ctcore.evaluation.truth import CaseTruth, read_truth

Progress = Callable[[int, int], None]
"""Called after every case with the number done and the number of all."""

DECISION_THRESHOLD = 0.5
"""Score from which a case without a predicted class counts as called positive."""


@dataclass(frozen=True, eq=False)
class Study:
    """All evaluated cases, sorted by case id.

    Attributes:
        records: one a case.
        failed: ids of the cases that the run could not do; they have no prediction.
        rule: what makes a hit.
        positive_classes: classes that count as positive.
        settings: what was asked for and chosen, for `metrics.json`.
        warnings: what a reader must know, one line each.
    """

    records: tuple[CaseRecord, ...]
    failed: tuple[str, ...]
    rule: MatchingRule
    positive_classes: frozenset[str]
    settings: dict[str, object]
    warnings: tuple[str, ...]

    @property
    def case_ids(self) -> list[str]:
        """The evaluated cases."""
        return [record.case_id for record in self.records]

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """(cases,) whether each is positive."""
        return np.array([record.positive for record in self.records], dtype=bool)

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(cases,) patient-level scores."""
        return np.array([record.score for record in self.records], dtype=np.float64)


def collect(
    predictions: Path,
    labels: Path,
    *,
    rule: MatchingRule,
    lesion_label: str | None = None,
    case_labels: Path | None = None,
    positive_classes: Collection[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> Study:
    """Reads and matches all cases; they are read one at a time by every process, and only numbers are kept.

    Args:
        predictions: an output of `pipeline run` (score from its results.csv), or a folder of detection maps (the
            score is the map's maximum).
        labels: folder of label maps named like the cases.
        rule: what makes a hit.
        lesion_label: name (from a dataset.json beside the labels) or value of the lesion; by default see
            `choose_lesion_label`.
        case_labels: CSV with case_id and class_name, which then decides what is positive; else a case is positive if
            its label holds a lesion.
        positive_classes: classes of that table that count as positive; needed unless they are `non-PDAC` and `PDAC`.
        workers: number of processes.
        progress: called after every case.

    Raises:
        RequestError: an argument is wrong, or predictions and labels do not fit each other (every message names the
            cases).
    """
    if workers < 1:
        raise RequestError(f"workers {workers} is below 1; give the number of processes")
    found = read_predictions(predictions)
    label_files = _label_files(found, labels)
    lesion = choose_lesion_label(labels, lesion_label)
    truth = read_truth(case_labels, [case.case_id for case in found.cases], positive_classes)
    names = label_names(labels, lesion)
    jobs = [_job(case, label_files[case.case_id], lesion, names) for case in found.cases]

    measured: dict[str, CaseMeasurement] = {}
    faults: list[CaseFault] = []
    for done, result in enumerate(measure_cases(jobs, workers), start=1):
        if isinstance(result, CaseFault):
            faults.append(result)
        else:
            measured[result.case_id] = result
        if progress is not None:
            progress(done, len(jobs))
    _refuse(faults)
    lesion.confirm({value for measurement in measured.values() for value in measurement.present})

    records = tuple(_record(case, measured[case.case_id], rule, truth) for case in found.cases)
    settings: dict[str, object] = {
        "predictions": found.kind,
        "score": "results.csv" if found.kind == "run" else "maximum of the detection map",
        "positive": "label holds a lesion" if case_labels is None else "case labels",
        "positive_classes": sorted(truth.positive_classes),
        "min_overlap": rule.min_overlap,
        "overlap": "IoU" if rule.overlap == "iou" else "Dice",
        "further_candidates": rule.further,
        "connectivity": 26,
        "lesion_label": {"values": list(lesion.values), "origin": lesion.origin},
    }
    warnings = (*record_warnings(records, found.failed), *_grid_warnings(found))
    return Study(records, found.failed, rule, truth.positive_classes, settings, warnings)


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


def _job(case: Prediction, label: Path, lesion: LesionLabel, names: dict[str, tuple[int, ...]]) -> CaseJob:
    """Returns what is measured of a case: of its segmentation the labels whose names the truth has too."""
    shared = tuple(
        SegmentedLabel(name, (value,), names[name.lower()])
        for name, value in case.segmentation_labels.items()
        if value != 0 and name.lower() in names
    )
    return CaseJob(case.case_id, case.detection_map, label, lesion, case.segmentation, shared)


def _record(case: Prediction, measured: CaseMeasurement, rule: MatchingRule, truth: CaseTruth) -> CaseRecord:
    """Returns the record of a case."""
    matched = match(measured.components, rule)
    score = matched.detection_max if case.score is None else case.score
    has_lesion = matched.n_lesions > 0
    probability = None
    if case.probabilities:
        probability = sum(p for name, p in case.probabilities.items() if name in truth.positive_classes)
    return CaseRecord(
        case.case_id,
        truth.is_positive(case.case_id, has_lesion),
        truth.class_of(case.case_id, has_lesion),
        score,
        case.label,
        probability,
        measured.components,
        matched,
        measured.agreement,
    )


def _refuse(faults: Sequence[CaseFault]) -> None:
    """Raises if some cases cannot be evaluated: the first with its reason, the others by name."""
    if not faults:
        return
    first, *others = sorted(faults, key=lambda fault: fault.case_id)
    more = f" (and {len(others)} more: {listed(fault.case_id for fault in others)})" if others else ""
    raise DatasetError(f"case '{first.case_id}': {first.reason}{more}")


def _grid_warnings(found: Predictions) -> list[str]:
    """Returns what must be known of maps that state no grid."""
    arrays = [case.case_id for case in found.cases if case.detection_map.suffix.lower() in NUMPY_SUFFIXES]
    if not arrays:
        return []
    return [f"{len(arrays)} detection maps are NumPy files without geometry: only their shapes were compared"]


def record_warnings(
    records: Sequence[CaseRecord], failed: Sequence[str], *, both_kinds: bool = True
) -> tuple[str, ...]:
    """Returns what a reader of the numbers must know, one line each.

    Args:
        records: the evaluated cases.
        failed: ids of the cases that could not be done.
        both_kinds: whether positive and negative cases belong to the task.
    """
    warnings = []
    if failed:
        warnings.append(f"{len(failed)} failed cases have no prediction and are not in the numbers: {listed(failed)}")
    for name, wanted in (("positive", True), ("negative", False)):
        if both_kinds and not any(record.positive is wanted for record in records):
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
    merged = [record.case_id for record in records if record.components.merged]
    if merged:
        warnings.append(
            f"{len(merged)} cases have touching candidates of different confidence; each such group counts as one with"
            f" the highest: {listed(merged)}"
        )
    return tuple(warnings)

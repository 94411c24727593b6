"""The tables of an evaluation: `per_case.csv`, and `per_lesion.csv` with a row for every lesion and candidate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ctcore.evaluation.components import CaseComponents
from ctcore.evaluation.matching import CaseMatch, Outcome
from ctcore.evaluation.measure import Agreement

CASE_COLUMNS = (
    "case_id",
    "status",
    "positive",
    "class_name",
    "predicted_class",
    "score",
    "detection_max",
    "n_lesions",
    "n_hits",
    "n_missed",
    "n_candidates",
    "n_false_positives",
    "n_ignored",
    "best_overlap",
)
"""Of `per_case.csv`, before a `dice_LABEL` for every segmented label; a failed case has only its id and status."""

LESION_COLUMNS = (
    "case_id",
    "outcome",
    "confidence",
    "overlap",
    "lesion",
    "lesion_volume_ml",
    "lesion_diameter_mm",
    "lesion_x_mm",
    "lesion_y_mm",
    "lesion_z_mm",
    "candidate",
    "candidate_volume_ml",
    "candidate_x_mm",
    "candidate_y_mm",
    "candidate_z_mm",
)
"""Of `per_lesion.csv`; positions are centroids in LPS mm, numbers count from 1 in scan order."""

MISSED = "missed"
"""Outcome of a lesion that no candidate hits."""


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """One evaluated case.

    Attributes:
        case_id: the case.
        positive: whether it is positive.
        class_name: its class.
        score: its patient-level score.
        predicted_class: the class that was predicted, or None.
        probability: the classifier's probability of a positive class, or None.
        components: its candidates and lesions.
        match: the one against the other.
        agreement: of its segmentation, by label name.
    """

    case_id: str
    positive: bool
    class_name: str
    score: float
    predicted_class: str | None
    probability: float | None
    components: CaseComponents
    match: CaseMatch
    agreement: Mapping[str, Agreement] = field(default_factory=dict)


def case_table(records: Sequence[CaseRecord], failed: Iterable[str]) -> str:
    """Returns `per_case.csv`: one row a case, sorted by case id."""
    labels = sorted({name for record in records for name in record.agreement})
    rows: dict[str, dict[str, object]] = {case_id: {"case_id": case_id, "status": "failed"} for case_id in failed}
    for record in records:
        dice = {f"dice_{name}": agreement.dice for name, agreement in record.agreement.items() if not agreement.empty}
        rows[record.case_id] = case_row(record) | dice
    columns = (*CASE_COLUMNS, *(f"dice_{name}" for name in labels))
    return _csv(columns, ([rows[case_id].get(column, "") for column in columns] for case_id in sorted(rows)))


def case_row(record: CaseRecord) -> dict[str, object]:
    """Returns a case's `CASE_COLUMNS`."""
    match = record.match
    return {
        "case_id": record.case_id,
        "status": "done",
        "positive": int(record.positive),
        "class_name": record.class_name,
        "predicted_class": record.predicted_class or "",
        "score": record.score,
        "detection_max": match.detection_max,
        "n_lesions": match.n_lesions,
        "n_hits": match.count(Outcome.HIT),
        "n_missed": match.n_missed,
        "n_candidates": len(match.candidates),
        "n_false_positives": match.count(Outcome.FALSE_POSITIVE),
        "n_ignored": match.count(Outcome.IGNORED),
        "best_overlap": max((candidate.overlap for candidate in match.candidates), default=0.0),
    }


def lesion_table(records: Sequence[CaseRecord]) -> str:
    """Returns `per_lesion.csv`: hits (lesion and candidate), missed lesions, then the other candidates, by case."""
    rows: list[list[object]] = []
    for record in sorted(records, key=lambda record: record.case_id):
        lesions, candidates = record.components.lesions, record.components.candidates
        by_lesion = {match.lesion: n for n, match in enumerate(record.match.candidates) if match.lesion is not None}
        for number, lesion in enumerate(lesions):
            of_lesion = [number + 1, lesion.volume_ml, lesion.diameter_mm, *lesion.centroid_lps_mm]
            index = by_lesion.get(number)
            if index is None:
                rows.append([record.case_id, MISSED, "", "", *of_lesion, *[""] * 5])
                continue
            hit, candidate = record.match.candidates[index], candidates[index]
            of_candidate = [index + 1, candidate.volume_ml, *candidate.centroid_lps_mm]
            rows.append([record.case_id, hit.outcome, hit.confidence, hit.overlap, *of_lesion, *of_candidate])
        for index, (candidate, match) in enumerate(zip(candidates, record.match.candidates, strict=True)):
            if match.lesion is None:
                of_candidate = [index + 1, candidate.volume_ml, *candidate.centroid_lps_mm]
                rows.append([record.case_id, match.outcome, match.confidence, "", *[""] * 6, *of_candidate])
    return _csv(LESION_COLUMNS, rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return table.getvalue()

"""The table of cases, `per_case.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ctcore.evaluation.matching import CaseMatch, Outcome

COLUMNS = (
    "case_id",
    "status",
    "positive",
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
"""Of `per_case.csv`; a failed case has only its id and status."""


@dataclass(frozen=True)
class CaseRecord:
    """One evaluated case.

    Attributes:
        case_id: the case.
        positive: whether it is positive.
        score: its patient-level score.
        match: its candidates against its lesions.
    """

    case_id: str
    positive: bool
    score: float
    match: CaseMatch


def case_table(records: Sequence[CaseRecord], failed: Iterable[str]) -> str:
    """Returns `per_case.csv`: one row a case, sorted by case id."""
    rows: dict[str, list[object]] = {case_id: [case_id, "failed"] for case_id in failed}
    for record in records:
        match = record.match
        rows[record.case_id] = [
            record.case_id,
            "done",
            int(record.positive),
            record.score,
            match.detection_max,
            match.n_lesions,
            match.count(Outcome.HIT),
            match.n_missed,
            len(match.candidates),
            match.count(Outcome.FALSE_POSITIVE),
            match.count(Outcome.IGNORED),
            max((candidate.overlap for candidate in match.candidates), default=0.0),
        ]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case_id in sorted(rows):
        writer.writerow(rows[case_id] + [""] * (len(COLUMNS) - len(rows[case_id])))
    return table.getvalue()

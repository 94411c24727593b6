"""The numbers of an evaluation, as `metrics.json` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ctcore.evaluation.matching import Outcome
from ctcore.evaluation.statistics.bootstrap import Estimate
from ctcore.evaluation.tables import CaseRecord

SCHEMA_VERSION = 2
"""Of `metrics.json`; raised when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Counts:
    """What was counted over all evaluated cases.

    Attributes:
        cases: evaluated cases: those with a prediction.
        positive: of them, positive ones.
        negative: of them, negative ones.
        failed: cases without prediction because the run failed on them.
        lesions: lesions in the labels.
        hits: lesions that a candidate hits.
        missed: lesions that none hits.
        candidates: candidates in the detection maps.
        false_positives: candidates that overlap no lesion enough.
        ignored: further candidates on a lesion.
    """

    cases: int
    positive: int
    negative: int
    failed: int
    lesions: int
    hits: int
    missed: int
    candidates: int
    false_positives: int
    ignored: int

    @classmethod
    def of(cls, records: Sequence[CaseRecord], failed: Sequence[str]) -> Counts:
        """Counts cases, lesions and candidates."""
        matches = [record.match for record in records]
        positive = sum(record.positive for record in records)
        return cls(
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


@dataclass(frozen=True)
class Metrics:
    """The result of an evaluation.

    Attributes:
        auroc: area under the patient-level ROC curve.
        ap: lesion-level average precision.
        counts: numbers of cases, lesions and candidates.
        failed_cases: ids of the cases without prediction.
        settings: what was asked for and chosen.
        warnings: what a reader must know, one line each.
        parts: all other numbers, as `metrics.json` nests them.
    """

    auroc: Estimate
    ap: Estimate
    counts: Counts
    failed_cases: tuple[str, ...]
    settings: dict[str, Any]
    warnings: tuple[str, ...]
    parts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        parts = content.pop("parts")
        return {**content, **parts}

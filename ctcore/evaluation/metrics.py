"""The numbers of an evaluation, as `metrics.json` holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA_VERSION = 1
"""Of `metrics.json`; raised when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: None if it is undefined (no positive or no negative case, no lesion).
        ci95: 95 % bootstrap interval, None if there is none.
    """

    value: float | None
    ci95: tuple[float, float] | None


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
    """

    auroc: Estimate
    ap: Estimate
    counts: Counts
    failed_cases: tuple[str, ...]
    settings: dict[str, Any]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

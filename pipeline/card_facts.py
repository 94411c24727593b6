"""What a model card says that only the maker of a bundle knows: what it is for, its licence, what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ctcore.errors import RequestError, describe_validation
from ctcore.evaluation.metrics import SCHEMA_VERSION as METRICS_SCHEMA_VERSION
from ctcore.json_files import read_json

DEFAULT_INTENDED_USE = (
    "Research on the detection of pancreatic lesions in contrast-enhanced abdominal CT; no clinical decision"
)

PATIENT_SCORE = "0.5"
"""The score at and above which `metrics.json` counts sensitivity and specificity."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


Line = Annotated[str, AfterValidator(_one_line)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Facts):
    """A measured figure.

    Attributes:
        value: None where it is undefined.
        ci95: its 95 % interval, None where none was made.
    """

    value: float | None = Field(allow_inf_nan=False)
    ci95: tuple[float, float] | None = None

    @property
    def complement(self) -> Figure:
        """1 minus it: of a specificity, the share of false positives."""
        return Figure(
            value=None if self.value is None else 1 - self.value,
            ci95=None if self.ci95 is None else (1 - self.ci95[1], 1 - self.ci95[0]),
        )

    def __str__(self) -> str:
        """Returns it for a table."""
        value = "undefined" if self.value is None else f"{self.value:.3f}"
        return value if self.ci95 is None else f"{value} [{self.ci95[0]:.3f}, {self.ci95[1]:.3f}]"


class MeasuredMetrics(_Facts):
    """What `pipeline evaluate` has measured of a bundle.

    Attributes:
        measured_on: which cases, in the words of whoever measured.
        positive: cases with a lesion.
        negative: cases without.
        lesions: lesions in their labels.
        auroc: area under the patient-level ROC curve.
        ap: lesion-level average precision.
        sensitivity: of patients at a score of `PATIENT_SCORE`; None where it was not measured.
        false_positive_rate: share of the cases without a lesion that reach this score; None where it was not measured.
        false_candidates: lesion candidates in a case without a lesion; None where it was not measured.
    """

    measured_on: Line = Field(min_length=1)
    positive: int = Field(ge=0)
    negative: int = Field(ge=0)
    lesions: int = Field(ge=0)
    auroc: Figure
    ap: Figure
    sensitivity: Figure | None = None
    false_positive_rate: Figure | None = None
    false_candidates: Figure | None = None


class CardFacts(_Facts):
    """What the maker of a bundle says of it; what nobody has said is `not recorded` in the card.

    Attributes:
        intended_use: what it is for.
        licence: of the weights, best as an SPDX identifier; None: not recorded.
        limits: what else a user must know, one sentence each.
        metrics: what was measured, None: not recorded.
    """

    intended_use: Line = Field(default=DEFAULT_INTENDED_USE, min_length=1)
    licence: Line | None = Field(default=None, min_length=1)
    limits: tuple[Line, ...] = ()
    metrics: MeasuredMetrics | None = None


def read_metrics(path: Path, measured_on: str) -> MeasuredMetrics:
    """Reads what a model card tells of a `metrics.json` of `pipeline evaluate`.

    Args:
        path: the file.
        measured_on: which cases these are, for whoever reads the card.

    Raises:
        RequestError: it is no such file, or of another schema version.
    """
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != METRICS_SCHEMA_VERSION:
        raise RequestError(
            f"'{path}' has schema version {version!r}, not {METRICS_SCHEMA_VERSION};"
            " give the metrics.json of this version's 'pipeline evaluate'"
        )
    counts = _part(content, "counts")
    try:
        specificity = _figure(_part(content, "patients", "specificity_at_score"), PATIENT_SCORE)
        return MeasuredMetrics(
            measured_on=measured_on,
            positive=counts.get("positive"),
            negative=counts.get("negative"),
            lesions=counts.get("lesions"),
            auroc=content.get("auroc"),
            ap=content.get("ap"),
            sensitivity=_figure(_part(content, "patients", "sensitivity_at_score"), PATIENT_SCORE),
            false_positive_rate=specificity and specificity.complement,
            false_candidates=_figure(_part(content, "lesions"), "false_positives_per_negative_case"),
        )
    except ValidationError as error:
        raise RequestError(f"'{path}' is not what 'pipeline evaluate' writes: {describe_validation(error)}") from error


def _part(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Returns a nested object, empty where it is not there."""
    for key in keys:
        found = content.get(key)
        content = found if isinstance(found, dict) else {}
    return content


def _figure(content: dict[str, Any], key: str) -> Figure | None:
    return Figure.model_validate(content[key]) if key in content else None

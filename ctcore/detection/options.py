"""How command lines ask for lesion candidates and fusion: one set of options for all."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctcore.errors import RequestError, describe_validation

if TYPE_CHECKING:
    from ctcore.detection.candidates import CandidateSettings


class ModeChoice(StrEnum):
    """How lesion candidates are cut out."""

    DYNAMIC_V2 = "dynamic-v2"
    DYNAMIC = "dynamic"
    DYNAMIC_FAST = "dynamic-fast"
    DYNAMIC_V2_MEAN = "dynamic-v2-mean"
    DYNAMIC_MEAN = "dynamic-mean"
    DYNAMIC_FAST_MEAN = "dynamic-fast-mean"


class RuleChoice(StrEnum):
    """Fusion rules that need no fitted constants."""

    MEAN = "mean"
    MAX = "max"
    PRODUCT = "product"
    NOISY_OR = "noisy-or"
    MAP = "map"


LesionClasses = Annotated[
    list[str] | None,
    typer.Option(
        "--lesion-class", help="Class that stands for a lesion; may be repeated. Default: PDAC, subtype0 to subtype2."
    ),
]
Candidates = Annotated[ModeChoice, typer.Option("--candidates", help="Candidate extraction.")]
MinConfidence = Annotated[
    float, typer.Option("--min-confidence", min=0.0, max=1.0, help="Weaker candidates are dropped.")
]
GrowthFactor = Annotated[
    float,
    typer.Option("--growth-factor", min=1.0001, help="A candidate reaches down to its peak divided by this."),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--candidate-settings", help="JSON file of candidate settings (docs/detection.md) instead of these three."
    ),
]
Fusion = Annotated[RuleChoice, typer.Option("--fusion", help="How the score is made.")]
Weight = Annotated[float, typer.Option("--weight", min=0.0, max=1.0, help="Share of the class probability in 'mean'.")]
WeighCandidates = Annotated[
    bool,
    typer.Option(
        "--weigh-candidates/--no-weigh-candidates",
        help="Multiply candidates' confidences by the probability of a lesion in the patient.",
    ),
]


def chosen_candidates(
    mode: ModeChoice, min_confidence: float, growth_factor: float, settings: Path | None
) -> CandidateSettings:
    """Returns the candidate settings of the options: those of the file where one is given.

    Raises:
        RequestError: the file cannot be read, or holds an unknown key or an impossible value.
    """
    from ctcore.detection.candidates import CandidateSettings

    if settings is not None:
        return read_candidate_settings(settings)
    return CandidateSettings(mode=mode.value, min_confidence=min_confidence, dynamic_threshold_factor=growth_factor)


def read_candidate_settings(path: Path) -> CandidateSettings:
    """Reads candidate settings from a JSON file; what it leaves out keeps its default.

    Raises:
        RequestError: the file cannot be read, or holds an unknown key or an impossible value.
    """
    from pydantic import ValidationError

    from ctcore.detection.candidates import CandidateSettings
    from ctcore.json_files import read_json

    try:
        return CandidateSettings.model_validate(read_json(path))
    except ValidationError as error:
        raise RequestError(f"'{path}' is not valid: {describe_validation(error)}; see docs/detection.md") from error

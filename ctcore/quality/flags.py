"""Flags of a case's quality: which figure decides each, within which limits, and why it may not be decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ctcore.quality.contrast import Phase
from ctcore.quality.figures import FigureName, QualityFigures
from ctcore.quality.metal import LEAST_ML
from ctcore.quality.reference import Limits, QualityReference

FLAG_TRUNCATED: Final = "field_of_view_truncated"
FLAG_ROI_BORDER: Final = "pancreas_at_roi_border"
FLAG_PHASE: Final = "contrast_phase_not_portal_venous"
FLAG_SLICES: Final = "slice_spacing_outside_training_range"
FLAG_NOISE: Final = "noise_outside_training_range"
FLAG_METAL: Final = "metal_near_pancreas"
FLAG_STAGES: Final = "stages_disagree"
FLAG_HEAD_MAP: Final = "head_and_map_disagree"
FLAG_FOLDS: Final = "folds_disagree"
FLAG_UNLIKE: Final = "unlike_training_data"

WANTED_PHASE: Phase = "portal-venous"
TOUCHING_MM = 0.1
"""What lies nearer than this to a border, less than any voxel, touches it."""
UNLIKE_PERCENTILE = 99.0
"""Reference cases that must lie nearer than a case that is unlike them, in per cent."""
TAIL = 0.01
"""Share of the reference cases beyond a limit that is fitted at one end."""

Ends = Literal["both", "low", "high"]


@dataclass(frozen=True)
class Rule:
    """How a flag is decided.

    Attributes:
        flag: its name.
        figure: what decides it.
        missing: why a case may not have the figure.
        limits: outside which there is the flag, whatever the training data.
        fitted: the ends that reference cases set instead: `both` at the smallest and the largest value seen, one of
            them so that `TAIL` of the cases lie beyond.
    """

    flag: str
    figure: FigureName
    missing: str
    limits: Limits | None = None
    fitted: Ends | None = None


_NO_PANCREAS = "no pancreas was found, or no segmentation was made"
RULES: tuple[Rule, ...] = (
    Rule(FLAG_TRUNCATED, "image_border_mm", "no pancreas was found", Limits(low=TOUCHING_MM)),
    Rule(FLAG_ROI_BORDER, "roi_border_mm", _NO_PANCREAS, Limits(low=TOUCHING_MM)),
    Rule(FLAG_SLICES, "slice_spacing_mm", "it is always known", fitted="both"),
    Rule(FLAG_NOISE, "noise_hu", "there is too little soft tissue in the ROI", fitted="both"),
    Rule(FLAG_METAL, "metal_ml", "no pancreas was found", Limits(high=LEAST_ML)),
    Rule(FLAG_STAGES, "stage_dice", _NO_PANCREAS, fitted="low"),
    Rule(FLAG_HEAD_MAP, "head_map_difference", "there is no classifier", fitted="high"),
    Rule(FLAG_FOLDS, "fold_spread", "fewer than two folds with a classifier ran", fitted="high"),
    Rule(
        FLAG_UNLIKE,
        "feature_percentile",
        "the bundle has no reference features of a network that ran",
        Limits(high=UNLIKE_PERCENTILE),
    ),
)
"""All but the contrast phase, which is decided by its name."""

NO_PHASE = "the vessels around the pancreas were not segmented"
NO_REFERENCE = "the bundle has no quality reference"
NOT_IN_REFERENCE = "too few of the bundle's reference cases had this figure"


@dataclass(frozen=True)
class Verdict:
    """What figures come to.

    Attributes:
        flags: what a reader must know.
        limits: by figure, those that were applied.
        unchecked: why a flag was not decided, by its name.
    """

    flags: tuple[str, ...]
    limits: Mapping[FigureName, Limits]
    unchecked: Mapping[str, str]


def decide(figures: QualityFigures, reference: QualityReference | None) -> Verdict:
    """Decides every flag.

    Args:
        figures: of a case.
        reference: the bundle's limits, where it has any.
    """
    flags, applied, unchecked = list[str](), dict[FigureName, Limits](), dict[str, str]()
    if figures.contrast_phase is None:
        unchecked[FLAG_PHASE] = NO_PHASE
    elif figures.contrast_phase != WANTED_PHASE:
        flags.append(FLAG_PHASE)
    for rule in RULES:
        value: float | None = getattr(figures, rule.figure)
        limits = rule.limits
        if rule.fitted is not None:
            limits = reference.limits.get(rule.figure) if reference else None
        if value is None:
            unchecked[rule.flag] = rule.missing
        elif limits is None:
            unchecked[rule.flag] = NOT_IN_REFERENCE if reference else NO_REFERENCE
        else:
            applied[rule.figure] = limits
            if not limits.hold(value):
                flags.append(rule.flag)
    return Verdict(tuple(flags), applied, unchecked)


LEAST_CASES = 20
"""Fewer reference cases set no limit."""
ROUNDING = 1e-3
"""Share by which limits at both ends are widened: spacings are rounded when they are stored."""


def fit_limits(cases: Sequence[QualityFigures]) -> dict[FigureName, Limits]:
    """Returns the limits that reference cases set; a figure that fewer than `LEAST_CASES` of them have gets none."""
    import numpy as np

    found: dict[FigureName, Limits] = {}
    for rule in RULES:
        values = [value for case in cases if (value := getattr(case, rule.figure)) is not None]
        if rule.fitted is None or len(values) < LEAST_CASES:
            continue
        match rule.fitted:
            case "both":
                found[rule.figure] = Limits(low=min(values) * (1 - ROUNDING), high=max(values) * (1 + ROUNDING))
            case "low":
                found[rule.figure] = Limits(low=float(np.quantile(values, TAIL)))
            case "high":
                found[rule.figure] = Limits(high=float(np.quantile(values, 1 - TAIL)))
    return found

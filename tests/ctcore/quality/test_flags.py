"""Flags: each raised by its figure beyond its limit, none where a figure is missing, which is said."""

from __future__ import annotations

from typing import Any

import pytest

from ctcore.quality.figures import QualityFigures
from ctcore.quality.flags import NO_PHASE, NO_REFERENCE, NOT_IN_REFERENCE, RULES, decide, fit_limits
from ctcore.quality.reference import Limits, QualityReference

GOOD: dict[str, Any] = {
    "slice_spacing_mm": 2.5,
    "noise_hu": 10.0,
    "veins_hu": 160.0,
    "arteries_hu": 150.0,
    "pancreas_hu": 100.0,
    "contrast_phase": "portal-venous",
    "image_border_mm": 30.0,
    "roi_border_mm": 12.0,
    "metal_ml": 0.0,
    "stage_dice": 0.8,
    "head_map_difference": 0.2,
    "fold_spread": 0.1,
    "feature_distance": 3.0,
    "feature_percentile": 40.0,
}
REFERENCE = QualityReference(
    cases=100,
    fitted_on="made up",
    limits={
        "slice_spacing_mm": Limits(low=0.5, high=5),
        "noise_hu": Limits(low=4, high=25),
        "stage_dice": Limits(low=0.5),
        "head_map_difference": Limits(high=0.6),
        "fold_spread": Limits(high=0.4),
    },
)


def test_a_good_case_has_no_flag() -> None:
    verdict = decide(QualityFigures(**GOOD), REFERENCE)
    assert (verdict.flags, verdict.unchecked) == ((), {})
    assert verdict.limits["noise_hu"] == Limits(low=4, high=25)


@pytest.mark.parametrize(
    ("figure", "value", "flag"),
    [
        ("image_border_mm", 0.0, "field_of_view_truncated"),
        ("roi_border_mm", 0.0, "pancreas_at_roi_border"),
        ("contrast_phase", "unenhanced", "contrast_phase_not_portal_venous"),
        ("contrast_phase", "arterial", "contrast_phase_not_portal_venous"),
        ("slice_spacing_mm", 5.1, "slice_spacing_outside_training_range"),
        ("slice_spacing_mm", 0.4, "slice_spacing_outside_training_range"),
        ("noise_hu", 25.5, "noise_outside_training_range"),
        ("noise_hu", 3.0, "noise_outside_training_range"),
        ("metal_ml", 0.03, "metal_near_pancreas"),
        ("stage_dice", 0.49, "stages_disagree"),
        ("head_map_difference", 0.61, "head_and_map_disagree"),
        ("fold_spread", 0.41, "folds_disagree"),
        ("feature_percentile", 100.0, "unlike_training_data"),
    ],
)
def test_each_figure_beyond_its_limit_raises_its_flag_alone(figure: str, value: float | str, flag: str) -> None:
    assert decide(QualityFigures(**(GOOD | {figure: value})), REFERENCE).flags == (flag,)


def test_what_cannot_be_measured_is_said_and_raises_nothing() -> None:
    verdict = decide(QualityFigures(slice_spacing_mm=2.5), REFERENCE)
    assert verdict.flags == ()
    others = {rule.flag: rule.missing for rule in RULES if rule.figure != "slice_spacing_mm"}
    assert dict(verdict.unchecked) == {"contrast_phase_not_portal_venous": NO_PHASE, **others}


def test_without_limits_flags_are_left_out_and_this_is_said() -> None:
    bad = QualityFigures(**(GOOD | {"noise_hu": 500.0, "stage_dice": 0.0, "metal_ml": 1.0}))
    without = decide(bad, None)
    assert without.flags == ("metal_near_pancreas",)
    assert without.unchecked["noise_outside_training_range"] == NO_REFERENCE
    few = decide(bad, REFERENCE.model_copy(update={"limits": {}}))
    assert few.unchecked["stages_disagree"] == NOT_IN_REFERENCE


def test_limits_of_hand_made_cases() -> None:
    cases = [QualityFigures(slice_spacing_mm=1 + k / 100, noise_hu=10, stage_dice=k / 100) for k in range(101)]
    found = fit_limits(cases)
    assert found["slice_spacing_mm"].low == pytest.approx(1, rel=2e-3)
    assert found["slice_spacing_mm"].high == pytest.approx(2, rel=2e-3)
    assert found["slice_spacing_mm"].hold(2.0000001)
    assert found["stage_dice"].low == pytest.approx(0.01)
    assert found["stage_dice"].high is None
    assert set(found) == {"slice_spacing_mm", "noise_hu", "stage_dice"}
    assert fit_limits(cases[:19]) == {}


def test_limits_that_hold_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="hold nothing"):
        Limits(low=2, high=1)

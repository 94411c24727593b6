"""Flags in words, with what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctcore.quality.flags import FLAG_PHASE, RULES

if TYPE_CHECKING:
    from ctcore.quality.reference import Limits
    from pipeline.records import CaseRecord, QualityRecord

WORDS = {
    "pancreas_not_found": "no pancreas found",
    "roi_fallback": "region of interest from the body's outline alone",
    "field_of_view_truncated": "pancreas cut by the image's border",
    "pancreas_at_roi_border": "pancreas reaches the border of the region of interest",
    "contrast_phase_not_portal_venous": "contrast phase not portal-venous",
    "slice_spacing_outside_training_range": "slice spacing outside the training range",
    "noise_outside_training_range": "noise outside the training range",
    "metal_near_pancreas": "metal near the pancreas",
    "stages_disagree": "the two stages disagree on the pancreas",
    "head_and_map_disagree": "classifier and detection map disagree",
    "folds_disagree": "the folds disagree",
    "unlike_training_data": "unlike the training data",
    "candidates_not_gated": "candidates may lie anywhere",
    "early_exit": "decided before the last fold",
    "effort_limited": "less computed than asked for",
    "over_time": "took longer than allowed",
    "gpu_out_of_memory": "computed on the CPU: too little GPU memory",
    "no_picture": "picture could not be drawn",
    "no_measurements": "could not be measured",
    "no_evidence": "evidence could not be computed",
    "no_dicom_output": "DICOM output could not be made",
    "no_dicom_source": "no DICOM series to refer to",
    "demo_model": "demonstration model",
}
"""What a reader sees of each flag; docs/outputs.md and docs/quality-flags.md say what it means."""

_MEASURED = {
    "image_border_mm": "{:.1f} mm from it",
    "roi_border_mm": "{:.1f} mm from it",
    "slice_spacing_mm": "{:.2f} mm",
    "noise_hu": "{:.1f} HU",
    "metal_ml": "{:.2f} ml",
    "stage_dice": "Dice {:.2f}",
    "head_map_difference": "by {:.2f}",
    "fold_spread": "by {:.2f}",
    "feature_percentile": "farther than {:.0f} % of the reference cases",
}
_USUAL = {
    "slice_spacing_mm": "{} mm",
    "noise_hu": "{} HU",
    "stage_dice": "{}",
    "head_map_difference": "{}",
    "fold_spread": "{}",
}
"""How limits that reference cases have set are said; fixed ones are in the documentation."""


def words_of(flag: str) -> str:
    """Returns a flag in a few words; one that is not known here by its name."""
    return WORDS.get(flag, flag.replace("_", " "))


def sentence_of(flag: str, quality: QualityRecord | None) -> str:
    """Returns a flag in words with the measured value, and the usual ones where reference cases have set them."""
    told = words_of(flag)
    if quality is None:
        return told
    if flag == FLAG_PHASE:
        hu = {"veins": quality.veins_hu, "arteries": quality.arteries_hu, "pancreas": quality.pancreas_hu}
        values = ", ".join(f"{name} {value:.0f} HU" for name, value in hu.items() if value is not None)
        return f"{told}: it looks {quality.contrast_phase} ({values})"
    rule = next((rule for rule in RULES if rule.flag == flag), None)
    value = None if rule is None else getattr(quality, rule.figure)
    if rule is None or value is None:
        return told
    limits = quality.limits.get(rule.figure)
    usual = f", usually {_range(rule.figure, limits)}" if limits and rule.figure in _USUAL else ""
    return f"{told}: {_MEASURED[rule.figure].format(value)}{usual}"


def unchecked_of(record: CaseRecord) -> str:
    """Returns what could not be checked of a case, and why: one entry a reason; empty where all was."""
    if record.quality is None:
        return "quality (computed by an earlier version)" if record.status == "done" else ""
    by_reason: dict[str, list[str]] = {}
    for flag, why in record.quality.unchecked.items():
        if flag not in record.flags:
            by_reason.setdefault(why, []).append(words_of(flag))
    return "; ".join(f"{', '.join(flags)} ({why})" for why, flags in by_reason.items())


def _range(figure: str, limits: Limits) -> str:
    return _USUAL[figure].format(limits)

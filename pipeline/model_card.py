"""The model card of a bundle: what it is, what it is not, and what it was trained on, written from its own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctcore.detection.calibration import Calibration
from ctcore.quality.reference import QualityReference
from pipeline.card_facts import PATIENT_SCORE, Figure, MeasuredMetrics
from pipeline.efforts import MeasuredEffort
from pipeline.manifest import DEMO_NOTICE, BundleManifest

NOT_RECORDED = "not recorded"
"""What a card says of what nobody has told; nothing is made up."""

INTENDED_USE, TRAINING_DATA, METRICS = "Intended use", "Training data", "Metrics"
HEALTHY, LIMITS, LICENCE = "Scans without a lesion", "Limits", "Licence"
REQUIRED = (INTENDED_USE, TRAINING_DATA, METRICS, HEALTHY, LIMITS, LICENCE)
"""Sections that every card has."""

CONFIDENCE = 0.95

_WITH_CLASSES = (
    "a multi-task network segments the region around it and classifies the patient. Lesion candidates become a"
    " detection map, whose maximum is fused with the class probability."
)
_WITHOUT_CLASSES = (
    "a second network segments the region around it. Lesion candidates become a detection map, whose maximum is the"
    " score: there is no classifier."
)


def model_card(manifest: BundleManifest, stage1: Mapping[str, Any], stage2: Mapping[str, Any]) -> str:
    """Returns the model card as Markdown.

    Args:
        manifest: the bundle's manifest (its file hashes are not used).
        stage1: `model.json` of the localizer.
        stage2: `model.json` of the multi-task network.
    """
    classes = ", ".join(
        f"{_safe(name)} (lesion)" if name in manifest.lesion_classes else _safe(name) for name in manifest.class_names
    )
    candidates, fusion = manifest.candidates, manifest.fusion
    lines = [f"# {_safe(manifest.name)} (version {_safe(manifest.version)})", "", _safe(manifest.description), ""]
    if manifest.demo:
        lines += [f"> **{DEMO_NOTICE[0].upper()}{DEMO_NOTICE[1:]}.**", ""]
    lines += [
        "## What it does",
        "",
        "A low-resolution network finds the pancreas in a contrast-enhanced abdominal CT; "
        + (_WITH_CLASSES if manifest.classifier else _WITHOUT_CLASSES),
        "",
        f"- Patient-level classes: {classes}",
        f"- Lesion candidates: `{candidates.mode}`, minimum confidence {candidates.min_confidence:g}",
        f"- Fusion: `{fusion.rule}`" + (f", weight {fusion.weight:g}" if fusion.rule == "mean" else ""),
        "- Input: one CT in Hounsfield units, "
        + ("brought to LPS order" if manifest.orientation == "LPS" else "in the order of axes it is stored in")
        + "; any spacing",
    ]
    lines += _section(INTENDED_USE, [_safe(manifest.card.intended_use).rstrip(".") + "."])
    lines += _section(LIMITS, _limits(manifest))
    lines += _section(TRAINING_DATA, [f"- stage {n}: {_trained_on(d)}" for n, d in ((1, stage1), (2, stage2))])
    lines += _section(METRICS, _metrics(manifest.card.metrics))
    lines += _section(HEALTHY, _healthy(manifest))
    if manifest.calibration is not None:
        lines += _section("Calibration", _calibration(manifest.calibration))
    if manifest.efforts:
        lines += _section("Less effort", _efforts(manifest.efforts))
    if manifest.quality is not None:
        lines += _section("Usual quality", _quality(manifest.quality))
    lines += _section(LICENCE, [_safe(manifest.card.licence or NOT_RECORDED)])
    for title, details in (("Stage 1: localizer", stage1), ("Stage 2: multi-task network", stage2)):
        lines += _section(title, _training(details))
    lines += [
        "",
        "## Files",
        "",
        "Weights are safetensors and settings are JSON; `bundle.json` holds every SHA-256.",
        "",
    ]
    return "\n".join(lines)


def gaps(card: str) -> list[str]:
    """Returns what a model card does not say: sections that are missing or empty, and what is not recorded.

    Args:
        card: its text.
    """
    title, sections = "", dict[str, list[str]]()
    for line in card.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ").strip()
        elif line.strip():
            sections.setdefault(title, []).append(line.strip())
    found = []
    for required in REQUIRED:
        name, lines = required.lower(), sections.get(required)
        if lines is None:
            found.append(f"{name}: no such section")
        elif any(line.endswith(NOT_RECORDED) for line in lines):
            found.append(f"{name}: {NOT_RECORDED}")
    return found


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _limits(manifest: BundleManifest) -> list[str]:
    """Returns what holds for every bundle, then what its maker adds."""
    limits = [
        "It is research software, not a medical device. Its scores have not been validated for any clinical decision.",
        "A lesion outside the ROI is not seen; the flags `roi_fallback` and `field_of_view_truncated` say where that is"
        " likelier.",
    ]
    if manifest.demo:
        limits.append(
            "It has seen synthetic images alone: its scores and maps have no established meaning on patients."
        )
    if manifest.calibration is not None:
        limits.append("The calibrated probability holds at the validation cases' share of positive cases.")
    return [f"- {limit}" for limit in (*limits, *map(_safe, manifest.card.limits))]


def _trained_on(details: Mapping[str, Any]) -> str:
    return _plain(details.get("trained_on")) or NOT_RECORDED


def _metrics(metrics: MeasuredMetrics | None) -> list[str]:
    """Returns what was measured as a table, with 95 % intervals."""
    if metrics is None:
        return [NOT_RECORDED]
    rows = {"AUROC (patients)": metrics.auroc, "average precision (lesions)": metrics.ap}
    if metrics.sensitivity is not None:
        rows[f"sensitivity at score >= {PATIENT_SCORE}"] = metrics.sensitivity
    return [
        f"Measured on {_safe(metrics.measured_on)}: {metrics.positive} cases with and {metrics.negative} without a"
        f" lesion, {metrics.lesions} lesions. 95 % intervals in brackets.",
        "",
        *(f"- {name}: {figure}" for name, figure in rows.items()),
    ]


def _healthy(manifest: BundleManifest) -> list[str]:
    """Returns how often scans without a lesion are called positive: as measured, and as calibration has found it."""
    lines, metrics, calibration = [], manifest.card.metrics, manifest.calibration
    if metrics is not None and metrics.false_positive_rate is not None:
        of = f"of {metrics.negative} scans ({_safe(metrics.measured_on)})"
        lines.append(f"- score >= {PATIENT_SCORE}: {metrics.false_positive_rate} {of}")
        if metrics.false_candidates is not None:
            lines.append(f"- lesion candidates a scan: {metrics.false_candidates} {of}")
    if calibration is not None:
        from scipy.stats import binomtest

        scans = calibration.cases - calibration.positive
        for point in calibration.operating_points if scans else ():
            false = round((1 - point.specificity) * scans)
            interval = binomtest(false, scans).proportion_ci(CONFIDENCE, method="wilson")
            rate = Figure(value=false / scans, ci95=(float(interval.low), float(interval.high)))
            lines.append(
                f"- {point.name} (score >= {point.threshold:.4f}): {rate} of {scans} scans"
                f" ({_safe(calibration.fitted_on)}, on which the threshold was chosen; Wilson's interval)"
            )
    return ["Share that is called positive, 95 % intervals in brackets.", "", *lines] if lines else [NOT_RECORDED]


def _calibration(calibration: Calibration) -> list[str]:
    """Returns the operating points as list items, with the cases that they were found on."""
    cases = f"{calibration.cases} cases, {calibration.positive} of them positive"
    return [
        f"Fitted on {_safe(calibration.fitted_on)} ({cases}); sensitivity and specificity are of these cases.",
        "",
    ] + [
        f"- {point.name}: score >= {point.threshold:.4f}, sensitivity {point.sensitivity:.3f}, specificity"
        f" {point.specificity:.3f}"
        for point in calibration.operating_points
    ]


def _efforts(efforts: Sequence[MeasuredEffort]) -> list[str]:
    """Returns a table of what less effort saves and costs."""
    return [
        f"Measured on {_safe(efforts[0].measured_on)}. Time is that of stage 2; losses are against the full effort.",
        "",
        "| folds | mirrored | windows | time | AUROC lost | AP lost |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.folds} | {'yes' if row.tta else 'no'} | {row.windows} | {row.relative_cost:.0%} |"
            f" {row.auroc_loss:.4f} | {row.ap_loss:.4f} |"
            for row in efforts
        ),
    ]


def _quality(quality: QualityReference) -> list[str]:
    """Returns what quality figures of CTs like those of training are, as list items."""
    return [
        _safe(f"Of {quality.cases} cases ({quality.fitted_on}); a case outside is flagged."),
        "",
        *(f"- {figure}: {limits}" for figure, limits in quality.limits.items()),
        *([_safe(f"- features of stage 2: {quality.features}")] if quality.features else []),
    ]


def _training(details: Mapping[str, Any]) -> list[str]:
    """Returns a stage's provenance as list items: what its `model.json` says of data, recipe and training."""
    recipe = details.get("recipe")
    told = {
        "recipe": recipe.get("name") if isinstance(recipe, Mapping) else recipe,
        "folds": details.get("folds"),
        "voxel spacing (z, y, x) in mm": details.get("spacing_mm"),
        "patch (z, y, x) in voxels": details.get("patch_size"),
        "labels": details.get("labels"),
    }
    training = details.get("training")
    if isinstance(training, Mapping):
        told |= {str(key).replace("_", " "): value for key, value in training.items() if value is not None}
    return [f"- {key}: {text}" for key, value in told.items() if (text := _plain(value)) is not None]


def _plain(value: Any) -> str | None:
    """Returns a value as one line of text, or None if it is too deep to be read in a list."""
    if isinstance(value, Mapping):
        parts = [f"{_safe(key)} {text}" for key, item in value.items() if (text := _plain(item)) is not None]
        return "; ".join(parts) if parts and len(parts) <= 12 else None
    if isinstance(value, list | tuple):
        return ", ".join(_safe(item) for item in value) if len(value) <= 12 else f"{len(value)} entries"
    if value is None:
        return NOT_RECORDED
    return f"{value:g}" if isinstance(value, float) else _safe(value)


def _safe(value: Any) -> str:
    """Returns text from outside as one line of Markdown in which there is neither HTML nor a link."""
    line = " ".join(str(value).split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("[", "\\[").replace("]", "\\]")

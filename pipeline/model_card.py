"""The model card of a bundle: what it is, what it is not, and what it was trained on, written from its own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctcore.detection.calibration import Calibration
from pipeline.efforts import MeasuredEffort
from pipeline.manifest import DEMO_NOTICE, BundleManifest

_UNKNOWN = "not recorded"

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
        f"{name} (lesion)" if name in manifest.lesion_classes else name for name in manifest.class_names
    )
    candidates, fusion = manifest.candidates, manifest.fusion
    lines = [f"# {manifest.name} (version {manifest.version})", "", manifest.description, ""]
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
        "",
        "## What it is not",
        "",
        "It is research software, not a medical device. Its scores have not been validated for any clinical decision.",
    ]
    if manifest.demo:
        lines.append("It has seen synthetic images alone: on patients its scores and maps have no established meaning.")
    if manifest.calibration is not None:
        lines += ["", "## Calibration", "", *_calibration(manifest.calibration)]
    if manifest.efforts:
        lines += ["", "## Less effort", "", *_efforts(manifest.efforts)]
    for title, details in (("Stage 1: localizer", stage1), ("Stage 2: multi-task network", stage2)):
        lines += ["", f"## {title}", "", *_training(details)]
    lines += [
        "",
        "## Files",
        "",
        "Weights are safetensors and settings are JSON; `bundle.json` holds every SHA-256.",
        "",
    ]
    return "\n".join(lines)


def _calibration(calibration: Calibration) -> list[str]:
    """Returns the operating points as list items, with the cases that they were found on."""
    cases = f"{calibration.cases} cases, {calibration.positive} of them positive"
    return [f"Fitted on {calibration.fitted_on} ({cases}); sensitivity and specificity are of these cases.", ""] + [
        f"- {point.name}: score >= {point.threshold:.4f}, sensitivity {point.sensitivity:.3f}, specificity"
        f" {point.specificity:.3f}"
        for point in calibration.operating_points
    ]


def _efforts(efforts: Sequence[MeasuredEffort]) -> list[str]:
    """Returns a table of what less effort saves and costs."""
    return [
        f"Measured on {efforts[0].measured_on}. Time is that of stage 2; losses are against the full effort.",
        "",
        "| folds | mirrored | windows | time | AUROC lost | AP lost |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.folds} | {'yes' if row.tta else 'no'} | {row.windows} | {row.relative_cost:.0%} |"
            f" {row.auroc_loss:.4f} | {row.ap_loss:.4f} |"
            for row in efforts
        ),
    ]


def _training(details: Mapping[str, Any]) -> list[str]:
    """Returns a stage's provenance as list items: what its `model.json` says of data, recipe and training."""
    recipe = details.get("recipe")
    told = {
        "trained on": details.get("trained_on"),
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
        parts = [f"{key} {text}" for key, item in value.items() if (text := _plain(item)) is not None]
        return "; ".join(parts) if parts and len(parts) <= 12 else None
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) if len(value) <= 12 else f"{len(value)} entries"
    if value is None:
        return _UNKNOWN
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())

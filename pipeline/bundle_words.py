"""What a bundle is, in words for the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctcore.detection.calibration import Calibration
    from ctcore.quality.reference import QualityReference
    from pipeline.bundle import Bundle
    from pipeline.efforts import MeasuredEffort


def bundle_words(bundle: Bundle) -> dict[str, str]:
    """Returns what a checked bundle says of itself, by the name of each fact."""
    manifest = bundle.manifest
    size = sum((bundle.folder / name).stat().st_size for name in manifest.files)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "demonstration": f"yes: {bundle.notice}" if bundle.notice else "no",
        "classes": ", ".join(manifest.class_names) + ("" if manifest.classifier else " (no classifier)"),
        "lesion classes": ", ".join(manifest.lesion_classes),
        "orientation": manifest.orientation,
        "candidates": settings_words(manifest.candidates.model_dump()),
        "fusion": settings_words(manifest.fusion.model_dump()),
        "calibration": _calibration(manifest.calibration),
        "efforts": "\n".join(efforts_words(manifest.efforts)) or "not measured",
        "quality": "\n".join(quality_words(manifest.quality)),
        "licence": manifest.card.licence or "not recorded",
        "model card": "; ".join(bundle.card_gaps) or "complete",
        "files": f"{len(manifest.files)}, {size / 2**20:.1f} MiB",
        "sha256": bundle.digest,
        "folder": str(bundle.folder),
    }


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return "none"
    points = "; ".join(f"{point.name} at score {point.threshold:.4f}" for point in calibration.operating_points)
    return f"on {calibration.cases} cases ({calibration.fitted_on}): {points or 'no operating point'}"


def efforts_words(efforts: Sequence[MeasuredEffort]) -> list[str]:
    """Returns a line for each effort whose cost was measured."""
    return [
        f"{row.folds} folds, {'mirrored' if row.tta else 'not mirrored'}, {row.windows} windows:"
        f" {row.relative_cost:.0%} of the time, AUROC {-row.auroc_loss:+.4f}, AP {-row.ap_loss:+.4f}"
        for row in efforts
    ]


def quality_words(quality: QualityReference | None) -> list[str]:
    """Returns lines about what the quality flags compare with."""
    if quality is None:
        return ["no reference"]
    lines = [f"on {quality.cases} cases ({quality.fitted_on})"]
    lines += [f"{figure}: {limits}" for figure, limits in quality.limits.items()]
    lines.append(f"{quality.features} features of stage 2" if quality.features else "no features of stage 2")
    return lines


def settings_words(values: dict[str, object]) -> str:
    """Returns settings in one line, without those that are none."""
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)

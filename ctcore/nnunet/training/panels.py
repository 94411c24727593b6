"""Which curves of a training share a pair of axes, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

SHARE = (0.0, 1.0)
"""Axis of what lies between 0 and 1."""

_WORDS = {
    "loss/train": "training loss",
    "loss/validation": "validation loss",
    "loss/train_segmentation": "training, segmentation",
    "loss/train_classification": "training, classes",
    "loss/validation_classification": "validation, classes",
    "dice/mean": "mean of the labels",
    "dice/mean_smoothed": "mean of the labels, smoothed",
    "learning_rate": "learning rate",
    "seconds_an_epoch": "seconds an epoch",
    "patch_auroc": "classifier, on validation patches",
    "auroc": "score",
    "auroc_class": "classifier",
    "auroc_map": "maximum of the detection map",
    "ap": "lesions (detection map)",
    "ap_class": "classes (score)",
}


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes.

    Attributes:
        title: what they are.
        unit: name of the y-axis.
        pattern: what the names of its curves match in full; a group of it is what tells them apart.
        limits: ends of the y-axis; None: as the curves ask for.
    """

    title: str
    unit: str
    pattern: str
    limits: tuple[float, float] | None = None

    def names(self, figures: Collection[str]) -> list[str]:
        """Returns which of a training's figures are curves of this panel."""
        return [name for name in figures if re.fullmatch(self.pattern, name)]

    def words(self, name: str) -> str:
        """Returns what a curve is called in this panel."""
        if name in _WORDS:
            return _WORDS[name]
        found = re.fullmatch(self.pattern, name)
        return " ".join(part for part in (found.groups() if found else ()) if part).replace("_", " ") or name


PANELS = (
    Panel("Loss", "loss", r"loss/(train|validation)"),
    Panel("Parts of the loss", "loss", r"loss/(train|validation)_(.+)"),
    Panel("Dice of validation patches", "pseudo-Dice", r"dice/(.+)", SHARE),
    Panel("AUROC", "AUROC", r"(?:patch_)?auroc(?:_(.+))?", SHARE),
    Panel("Average precision", "AP", r"ap(?:_(.+))?", SHARE),
    Panel("Classes of whole validation cases", "share", r"((?:balanced_)?accuracy|macro_f1)(?:_(class))?", SHARE),
    Panel("Dice of whole validation cases", "Dice", r"dice_(.+)", SHARE),
    Panel("IoU of whole validation cases", "IoU", r"iou_(.+)", SHARE),
    Panel("Learning rate", "learning rate", r"learning_rate"),
    Panel("Time", "seconds an epoch", r"seconds_an_epoch"),
)

OTHERS = "Others"


def panels_of(figures: Collection[str]) -> list[tuple[Panel, list[str]]]:
    """Returns the panels of a training with the names of their curves; what no panel knows is shown last."""
    found = [(panel, panel.names(figures)) for panel in PANELS]
    known = {name for _, names in found for name in names}
    others = [name for name in figures if name not in known]
    return [each for each in (*found, (Panel(OTHERS, "value", r"(.+)"), others)) if each[1]]

"""What an exported localizer holds."""

from typing import Literal

from ctcore.nnunet.exported import ExportedModel
from stage1_localizer.margins import FoundMargins


class LocalizerModel(ExportedModel):
    """`model.json` of a stage-1 folder.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI.
        margins_found: how that margin was found; None where the recipe gives it.
        bridge_mm: components no farther apart than this are one cluster.
        minimum_ml: smallest cluster that is taken for a pancreas.
    """

    stage: Literal["stage1"] = "stage1"
    margin_mm: tuple[float, float, float]
    margins_found: FoundMargins | None = None
    bridge_mm: float
    minimum_ml: float

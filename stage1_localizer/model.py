"""What an exported localizer holds."""

from typing import Literal

from ctcore.nnunet.exported import ExportedModel


class LocalizerModel(ExportedModel):
    """`model.json` of a stage-1 folder.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI.
        bridge_mm: components no farther apart than this are one cluster.
        minimum_ml: smallest cluster that is taken for a pancreas.
    """

    stage: Literal["stage1"] = "stage1"
    margin_mm: tuple[float, float, float]
    bridge_mm: float
    minimum_ml: float

"""What an exported localizer holds."""

from typing import Annotated, Literal

from pydantic import Field

from ctcore.nnunet.exported import ExportedModel
from stage1_localizer.margins import FoundMargins


class LocalizerModel(ExportedModel):
    """`model.json` of a stage-1 folder.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas mask that makes the ROI.
        margins_found: how that margin was found; None where the recipe gives it.
        grow_probability: probability of pancreas down to which the mask grows for the ROI; 0.5: it does not.
        bridge_mm: components no farther apart than this are one cluster.
        minimum_ml: smallest cluster that is taken for a pancreas.
    """

    stage: Literal["stage1"] = "stage1"
    margin_mm: tuple[float, float, float]
    margins_found: FoundMargins | None = None
    grow_probability: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    bridge_mm: float
    minimum_ml: float

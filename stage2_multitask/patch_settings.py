"""How a case's class reaches patches that show only a part of it: what a recipe's `[patches]` holds.

A patch as large as the ROI, never moved onto a label (`oversample_foreground = 0`), needs none of this.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class PatchSettings(BaseModel):
    """Which patches are drawn, and how much each one's class counts.

    Attributes:
        centre: what the patches of `oversample_foreground` are centred on: a voxel of `any` label, as nnU-Net does, or
            of the `lesion` where the case has one.
        cases: which cases patches come from: all `alike`, or every class as often as every other (`balanced`).
        least_weight: weight in the class loss of a patch that holds nothing of its case's lesion (of its pancreas, in a
            case without lesion); 1 weighs all patches alike.
        full_share: share of the lesion (or pancreas) from which on a patch weighs 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre: Literal["any", "lesion"] = "any"
    cases: Literal["alike", "balanced"] = "alike"
    least_weight: Share = 1.0
    full_share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @property
    def weighs(self) -> bool:
        """Whether patches differ in weight."""
        return self.least_weight < 1

"""How a case's class reaches patches that show only a part of it: what a recipe's `[patches]` holds.

A patch as large as the ROI, never moved onto a label (`oversample_foreground = 0`), needs none of this.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]


Interval = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class SyntheticLesionSettings(BaseModel):
    """Lesions drawn into patches that hold gland and no lesion.

    Attributes:
        share: of the lesions that are synthetic. Half of all patches then show a lesion, real or synthetic.
        class_name: what a case without lesion becomes.
        contrast_hu: smallest and largest contrast to the gland, which is brighter; drawn evenly.
        volume_ml: smallest and largest volume, before the surface is made rough; drawn evenly in its logarithm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: Annotated[float, Field(gt=0, le=1)]
    class_name: str
    contrast_hu: Interval = (10.0, 70.0)
    volume_ml: Interval = (0.5, 30.0)

    @property
    def chance(self) -> float:
        """Share of the patches of cases without lesion that get one."""
        return self.share / (1 + self.share)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, (low, high) in (("contrast_hu", self.contrast_hu), ("volume_ml", self.volume_ml)):
            if low > high:
                raise ValueError(f"{name} [{low}, {high}] begins above its end")
        return self


class PatchSettings(BaseModel):
    """Which patches are drawn, and how much each one's class counts.

    Attributes:
        centre: what the patches of `oversample_foreground` are centred on: a voxel of `any` label, as nnU-Net does, or
            of the `lesion` where the case has one.
        cases: which cases patches come from: all `alike`, or every class as often as every other (`balanced`).
        least_weight: weight in the class loss of a patch that holds nothing of its case's lesion (of its pancreas, in a
            case without lesion); 1 weighs all patches alike.
        full_share: share of the lesion (or pancreas) from which on a patch weighs 1.
        synthetic_lesions: whether and which lesions are drawn into patches without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre: Literal["any", "lesion"] = "any"
    cases: Literal["alike", "balanced"] = "alike"
    least_weight: Share = 1.0
    full_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    synthetic_lesions: SyntheticLesionSettings | None = None

    @property
    def weighs(self) -> bool:
        """Whether patches differ in weight."""
        return self.least_weight < 1

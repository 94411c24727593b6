"""The settings of the balance between segmentation and class loss: what a recipe's `[balance]` holds."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FixedBalance(_Settings):
    """Constant weights.

    Attributes:
        kind: `fixed`.
        segmentation: weight of the segmentation loss.
        classification: weight of the class loss.
    """

    kind: Literal["fixed"] = "fixed"
    segmentation: Weight = 1.0
    classification: Weight = 1.0

    @model_validator(mode="after")
    def _something_trains(self) -> Self:
        if self.segmentation == self.classification == 0:
            raise ValueError("segmentation and classification are both 0: nothing would train; make one greater")
        return self


class RampBalance(_Settings):
    """A class loss whose weight goes linearly from one value to another and then stays.

    Attributes:
        kind: `ramp`.
        segmentation: weight of the segmentation loss.
        start: weight of the class loss at first.
        end: its weight after the ramp.
        share: share of the epochs that the ramp takes.
    """

    kind: Literal["ramp"] = "ramp"
    segmentation: Weight = 1.0
    start: Weight
    end: Weight
    share: Annotated[float, Field(gt=0, le=1)]


class UncertaintyBalance(_Settings):
    """Weights that are learned from the losses' uncertainty.

    Attributes:
        kind: `uncertainty`.
    """

    kind: Literal["uncertainty"] = "uncertainty"


def _fixed_if_unsaid(value: Any) -> Any:
    return {"kind": "fixed"} | value if isinstance(value, dict) else value


BalanceSettings: TypeAlias = Annotated[
    FixedBalance | RampBalance | UncertaintyBalance,
    Field(discriminator="kind"),
    BeforeValidator(_fixed_if_unsaid),
]
"""Any balance's settings, told apart by `kind`; a table that names none has fixed weights."""

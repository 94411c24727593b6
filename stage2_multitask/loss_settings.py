"""The settings of the class loss: what a recipe's `[class_loss]` holds."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

ClassWeight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ClassWeights: TypeAlias = Literal["equal", "inverse-frequency"] | tuple[ClassWeight, ...]


class ClassLossSettings(BaseModel):
    """How the class logits of a patch are compared with its case's class.

    Attributes:
        kind: `ce` (cross-entropy), or `dice-bce` (Dice + binary cross-entropy on the one-hot class).
        weights: weight of each class in the order of `class_names`, `equal`, or `inverse-frequency` (from the training
            cases of the fold).
        label_smoothing: share of each target that is spread evenly over all classes.
        logit_adjustment: tau, the strength with which the log priors of the fold's training cases are added to the
            logits inside the loss; the raw logits are used at inference.
        missing: what becomes of a case without a class: `refuse` ends the training before it begins and names the case,
            `mask` leaves it out of the class loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ce", "dice-bce"] = "ce"
    weights: ClassWeights = "equal"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    logit_adjustment: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    missing: Literal["refuse", "mask"] = "refuse"

    @property
    def is_plain(self) -> bool:
        """Whether classes count as often as they come: cross-entropy without weights or adjustment."""
        return self.kind == "ce" and self.weights == "equal" and not self.logit_adjustment

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        if self.kind == "dice-bce" and (self.label_smoothing or self.logit_adjustment):
            raise ValueError(
                f"label_smoothing {self.label_smoothing} and logit_adjustment {self.logit_adjustment} are for kind"
                " 'ce'; leave them out with 'dice-bce'"
            )
        return self

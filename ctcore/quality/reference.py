"""What a bundle knows of the quality of CTs like those it was trained on."""

from __future__ import annotations

import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.quality.figures import FigureName


class Limits(BaseModel):
    """Between what and what a figure raises no flag; None: there is no such end.

    Attributes:
        low: below it there is a flag.
        high: above it there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"limits from {self.low} to {self.high} hold nothing")
        return self

    def __str__(self) -> str:
        low, high = (None if end is None else f"{end:.3g}" for end in (self.low, self.high))
        return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"

    def hold(self, value: float) -> bool:
        """Tells whether a value lies within them."""
        return not (value < (-math.inf if self.low is None else self.low)) and not (
            value > (math.inf if self.high is None else self.high)
        )


class QualityReference(BaseModel):
    """Limits of figures, found on reference cases; those of stage 2's features lie in a file of their own.

    Attributes:
        cases: how many they were.
        fitted_on: which, in a few words.
        limits: by figure; a figure that too few reference cases had has none.
        features: length of the feature vector whose distances the bundle can tell; None: it cannot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int = Field(ge=1)
    fitted_on: str = Field(min_length=1)
    limits: dict[FigureName, Limits]
    features: int | None = Field(default=None, ge=1, le=65536)

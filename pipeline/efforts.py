"""What less effort costs in accuracy: a bundle's table, measured on validation cases."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ctcore.inference.cover import WindowMode
from ctcore.inference.effort import Effort


class MeasuredEffort(BaseModel):
    """An effort, what it costs, and what it loses against the full effort.

    Attributes:
        folds: how many of the bundle's folds stage 2 averages, from the first on.
        tta: whether over mirrored images too.
        windows: how its windows are placed.
        relative_cost: seconds of stage 2 (phase `predict`), as a share of the full effort's.
        seconds_per_case: the same in seconds, on the machine that measured.
        auroc_loss: AUROC of the full effort minus this one's; below 0 where less was better.
        ap_loss: the same of the lesions' average precision.
        measured_on: which cases, in a few words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(ge=1)
    tta: bool
    windows: WindowMode
    relative_cost: float = Field(gt=0, allow_inf_nan=False)
    seconds_per_case: float = Field(gt=0, allow_inf_nan=False)
    auroc_loss: float = Field(ge=-1, le=1)
    ap_loss: float = Field(ge=-1, le=1)
    measured_on: str

    @property
    def loss(self) -> float:
        """What efforts are ranked by: both losses added up."""
        return self.auroc_loss + self.ap_loss

    @property
    def effort(self) -> Effort:
        """The effort itself."""
        return Effort(self.folds, self.tta, self.windows)


def within(effort: Effort, most: Effort) -> bool:
    """Tells whether an effort asks for nothing that a greater one does not have."""
    return effort.folds <= most.folds and effort.tta <= most.tta and effort.windows in {most.windows, "guided"}

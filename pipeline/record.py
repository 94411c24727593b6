"""What all that is kept as JSON has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """What is kept as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""The three training phases as a pure function of the epoch."""

from __future__ import annotations

from enum import Enum

from stage2_multitask.recipe import PhaseShares


class Phase(Enum):
    """What trains in an epoch."""

    SEGMENTATION = "segmentation"
    """Encoder and decoder; the head is frozen."""
    HEAD = "head"
    """The head; encoder and decoder are frozen."""
    JOINT = "joint"
    """Everything."""


def phase_of(epoch: int, epochs: int, shares: PhaseShares) -> Phase:
    """Returns the phase of an epoch (counted from 0) of a run of `epochs` epochs."""
    first = round(shares.segmentation * epochs)
    second = first + round(shares.head * epochs)
    if epoch < first:
        return Phase.SEGMENTATION
    return Phase.HEAD if epoch < second else Phase.JOINT

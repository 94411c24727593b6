"""How much is computed of each case, where time and memory are limited."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from ctcore.errors import MemoryLimitError, RequestError
from ctcore.inference.effort import SLAB_VOXELS, Effort
from pipeline.efforts import MeasuredEffort, within
from pipeline.measurements import measuring_bytes
from pipeline.memory import gib, peak, resident

if TYPE_CHECKING:
    from ctcore.volume import Geometry
    from pipeline.stages import PredictorStage

FLAG_LIMITED = "effort_limited"
"""Flag of a case that less was computed of than the run's options ask for."""

FLAG_OVER_TIME = "over_time"
"""Flag of a case that was expected to take longer than allowed, whatever is left out."""

CALL_RESERVE = 1.15
"""Factor on the time that networks are expected to take."""
FIRST_REST_SECONDS = 2.0
"""Expected time from the prediction to the end of a case, before one has shown it."""
REMEMBERED_CASES = 5
"""How many of the last cases an expectation rests on: on the slowest of them."""

SLABS = (SLAB_VOXELS, SLAB_VOXELS // 4, SLAB_VOXELS // 16)
"""Voxels of the CT's grid computed at once that are tried where memory is limited."""
AFTER_BYTES = 24
"""Bytes a voxel of the ROI, at most, that candidates, maps and pictures take after the prediction."""
RESERVE_BYTES = 96 << 20
"""What is left free of the memory allowed: for all that is not counted."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What is computed of a case.

    Attributes:
        effort: how much.
        measured: what it loses, where the bundle's table says so.
        flags: what a reader must know.
    """

    effort: Effort
    measured: MeasuredEffort | None = None
    flags: tuple[str, ...] = ()


class Chooser(Protocol):
    """Chooses what is computed of a case."""

    def __call__(
        self, predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], spent: float, /
    ) -> Choice:
        """Chooses for an ROI's grid, with a pancreas mask on it, after `spent` seconds of the case."""


def everything(predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], spent: float, /) -> Choice:
    """Chooses all that the predictor was made for."""
    del geometry, pancreas, spent
    return Choice(predictor.effort)


@dataclass(frozen=True)
class _Candidate:
    """An effort that may be chosen, with what is expected of it."""

    choice: Choice
    calls: int
    seconds: float


class Budget:
    """Chooses, for each case, the most accurate effort of those that fit the time and memory allowed.

    Nothing beyond the options of the run is chosen: folds, mirroring and windows are theirs or less. Time: that of a
    network's call and of the rest of a case are taken from the slowest of the last cases; what reading and localizing
    took is known. Memory: what this process has when the ROI is known, and an estimate of what the ROI takes.

    Args:
        max_seconds: for a case, from its reading to its last file; None: as long as it takes.
        max_ram: bytes of this process; None: whatever there is.
        efforts: the bundle's table.
        apart: whether each fold's logits are kept by themselves for a while (early exit).
    """

    def __init__(
        self, max_seconds: float | None, max_ram: int | None, efforts: Sequence[MeasuredEffort], *, apart: bool
    ) -> None:
        self._max_seconds, self._max_ram, self._apart = max_seconds, max_ram, apart
        self._efforts = sorted(efforts, key=lambda row: (row.loss, row.relative_cost))
        self._call_seconds: deque[float] = deque(maxlen=REMEMBERED_CASES)
        self._rest_seconds: deque[float] = deque([FIRST_REST_SECONDS], maxlen=REMEMBERED_CASES)
        self._scratch = 0

    def prepare(self, predictor: PredictorStage) -> None:
        """Measures a call of a network, and what the networks need beside what they keep.

        Raises:
            RequestError: the networks alone do not fit.
        """
        if self._max_ram is None and self._max_seconds is None:
            return
        self._call_seconds.append(predictor.warm_up())
        if self._max_ram is not None:
            self._scratch = peak() - resident()
            if peak() + RESERVE_BYTES > self._max_ram:
                raise RequestError(
                    f"the networks alone need {gib(peak() + RESERVE_BYTES)}, --max-ram allows {gib(self._max_ram)};"
                    " allow more, or fewer --folds"
                )

    def __call__(
        self, predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], spent: float, /
    ) -> Choice:
        """Chooses for a case.

        Raises:
            MemoryLimitError: nothing fits.
        """
        fitting = []
        for choice in self._choices(predictor.effort):
            effort = self._fitted(predictor, geometry, pancreas, choice.effort)
            if effort is not None:
                calls = predictor.calls(geometry, pancreas, effort)
                seconds = spent + calls * max(self._call_seconds, default=0) * CALL_RESERVE + max(self._rest_seconds)
                fitting.append(_Candidate(replace(choice, effort=effort), calls, seconds))
        if not fitting:
            least = min(
                self._bytes(predictor, geometry, pancreas, replace(choice.effort, slab_voxels=SLABS[-1]))
                for choice in self._choices(predictor.effort)
            )
            raise MemoryLimitError(
                f"an ROI of {geometry.shape} voxels needs {gib(least)}, --max-ram allows {gib(self._max_ram or 0)};"
                " allow more, or fewer --folds"
            )
        in_time = [c for c in fitting if self._max_seconds is None or c.seconds <= self._max_seconds]
        if in_time:
            return in_time[0].choice
        cheapest = min(fitting, key=lambda candidate: candidate.calls)
        logger.warning("a case may take %.0f s, more than --max-seconds", cheapest.seconds)
        return replace(cheapest.choice, flags=tuple(dict.fromkeys((*cheapest.choice.flags, FLAG_OVER_TIME))))

    def learn(self, calls: int, seconds: Mapping[str, float]) -> None:
        """Learns from a case that has ended how long things take.

        Args:
            calls: of networks.
            seconds: time by phase.
        """
        self._call_seconds.append(seconds.get("predict", 0.0) / max(calls, 1))
        self._rest_seconds.append(
            math.fsum(seconds.get(phase, 0.0) for phase in ("detect", "measure", "write", "report"))
        )

    def _choices(self, most: Effort) -> list[Choice]:
        """Returns what may be chosen, from the most accurate to the least: all, the table's, guided windows."""
        rows = {replace(row.effort, slab_voxels=most.slab_voxels): row for row in self._efforts}
        choices = [Choice(most, rows.get(most))]
        choices += [
            Choice(effort, row, (FLAG_LIMITED,))
            for effort, row in rows.items()
            if effort != most and within(effort, most)
        ]
        guided = replace(most, windows="guided")
        if guided not in [choice.effort for choice in choices]:
            choices.append(Choice(guided, None, (FLAG_LIMITED,)))
        return choices

    def _fitted(
        self, predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort
    ) -> Effort | None:
        """Returns the effort, in slabs that fit the memory; None if it does not fit."""
        if self._max_ram is None:
            return effort
        for slab in SLABS:
            sliced = replace(effort, slab_voxels=slab)
            if self._bytes(predictor, geometry, pancreas, sliced) <= self._max_ram:
                return sliced
        return None

    def _bytes(self, predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], effort: Effort) -> int:
        """Returns the most memory of this process that is expected while the case is computed."""
        prediction = predictor.memory(geometry, pancreas, effort, self._apart) + self._scratch
        after = AFTER_BYTES * math.prod(geometry.shape) + measuring_bytes(geometry)
        return resident() + RESERVE_BYTES + max(prediction, after)

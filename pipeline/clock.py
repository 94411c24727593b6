"""Where the time of a case goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.stages import Prediction, RunningStage

PHASES = ("read", "locate", "predict", "detect", "measure", "explain", "write", "report")
"""The phases of a case, in order, as timings name them."""


@dataclass
class Clock:
    """Time by phase of one case.

    Attributes:
        seconds: elapsed time of every phase entered so far.
        on_phase: called with each phase's name as it begins.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    on_phase: Callable[[str], None] | None = None

    @property
    def total(self) -> float:
        """Time of all phases so far."""
        return sum(self.seconds.values())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures what is done inside."""
        if self.on_phase is not None:
            self.on_phase(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


@dataclass(frozen=True)
class TimedFolds:
    """Folds whose time is measured as that of the phase `predict`.

    Attributes:
        running: the folds.
        clock: receives their time.
    """

    running: RunningStage
    clock: Clock

    @property
    def folds_left(self) -> int:
        """How many folds have not run."""
        return self.running.folds_left

    def add(self) -> None:
        """Runs the next fold."""
        with self.clock.phase("predict"):
            self.running.add()

    def add_apart(self) -> Prediction:
        """Runs the next fold, and returns what it says by itself."""
        with self.clock.phase("predict"):
            return self.running.add_apart()

    def finish(self) -> Prediction:
        """Returns what the folds so far say together."""
        with self.clock.phase("predict"):
            return self.running.finish()

    def evidence(self, name: str, probabilities: Mapping[str, float], /) -> npt.NDArray[np.float32]:
        """Returns where the folds so far draw a class from."""
        with self.clock.phase("explain"):
            return self.running.evidence(name, probabilities)

"""What other processes of a run load in place of networks: stages that do what a file beside the output says."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ctcore.volume import Volume
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeLocalizer, FakePrediction, FakePredictor


@dataclass
class Deadly(FakePredictor):
    """Ends its process at the CTs without a lesion: always, or at the first of them.

    Attributes:
        once: is made where it does so the first time, which is then the last; None: always.
        seconds: that every case takes.
        well: what happens to a case without a lesion.
    """

    once: Path | None = None
    seconds: float = 0.0
    deadly: bool = False

    def predict(self, roi: Volume, /) -> FakePrediction:
        time.sleep(self.seconds)
        prediction = super().predict(roi)
        if self.deadly and not prediction.lesion_probability.any() and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return prediction


def load(*, seconds: float = 0.0, deadly: bool = False, once: Path | None = None) -> Stages:
    """Loads the fake stages."""
    return Stages(FakeLocalizer(), Deadly(seconds=seconds, deadly=deadly, once=once))


def load_nothing() -> Stages:
    """Finds that the networks cannot be loaded."""
    raise ValueError("no such network")

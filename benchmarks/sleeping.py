"""A stage 1 that takes time and no processor: what runs beside the networks shows."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ctcore.inference.backends.choose import Execution
from ctcore.volume import Volume
from pipeline.bundle import Bundle
from pipeline.stages import LocatorStage, PancreasLocation, Stages, load_stages


@dataclass(frozen=True)
class Sleeping:
    """A localizer that sleeps first.

    Attributes:
        localizer: what finds the pancreas.
        seconds: how long it sleeps.
        begun: a file that gets a line whenever it begins; None: nobody counts.
    """

    localizer: LocatorStage
    seconds: float
    begun: Path | None

    def locate(self, ct: Volume, /) -> PancreasLocation:
        """Finds the pancreas, later."""
        if self.begun is not None:
            descriptor = os.open(self.begun, os.O_WRONLY | os.O_APPEND | os.O_CREAT)  # whole lines, whoever writes
            os.write(descriptor, b"begun\n")
            os.close(descriptor)
        time.sleep(self.seconds)
        return self.localizer.locate(ct)


def loader(bundle: Bundle, execution: Execution, seconds: float, begun: Path | None = None) -> partial[Stages]:
    """Returns what loads a bundle's stages, the first of which sleeps; it can be sent to other processes."""
    return partial(_load, bundle, execution, seconds, begun)


def _load(bundle: Bundle, execution: Execution, seconds: float, begun: Path | None) -> Stages:
    stages = load_stages(bundle, execution)
    return replace(stages, localizer=Sleeping(stages.localizer, seconds, begun))

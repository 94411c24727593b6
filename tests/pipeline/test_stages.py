from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision
from ctcore.inference.backends.choose import Execution
from pipeline.bundle import DEMO_BUNDLE, load_bundle
from pipeline.stages import load_stages


@dataclass
class Flagged:
    """A network that something has happened to."""

    flags: tuple[str, ...]
    name: ExactBackendName = "torch"
    precision: ExactPrecision = "fp32"

    def __call__(self, batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        raise NotImplementedError


def test_what_happens_to_any_network_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        stages = load_stages(load_bundle(DEMO_BUNDLE), Execution("cpu", "torch", "fp32", 2))
    assert "computing on cpu with torch in fp32, 2 threads" in caplog.text
    assert stages.flags() == ()
    localizer: Any = stages.localizer
    predictor: Any = stages.predictor
    localizer._backends = [Flagged(("a",)), Flagged(())]
    assert stages.flags() == ("a",)
    predictor._backends = [Flagged(()), Flagged(("b", "c"))]
    assert stages.flags() == ("a", "b", "c")


def test_the_localizer_computes_in_float32_whatever_the_precision() -> None:
    stages: Any = load_stages(load_bundle(DEMO_BUNDLE), Execution("cpu", "torch", "bf16", 2))
    assert {backend.precision for backend in stages.localizer._backends} == {"fp32"}
    assert {backend.precision for backend in stages.predictor._backends} == {"bf16"}

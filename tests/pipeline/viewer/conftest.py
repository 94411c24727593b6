"""An output of two cases, `ill` with a candidate and `well` without, and a server that shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctcore.inference.backends.choose import Execution
from pipeline.bundle import Bundle
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import run_cohort
from pipeline.stages import Stages
from pipeline.viewer.server import ViewerServer
from pipeline.viewer.shown import ShownRun


@pytest.fixture
def output(tmp_path: Path, cohort: Path, bundle: Bundle, execution: Execution, stages: Stages) -> Path:
    """Folder of a run's output; one of its three CTs is damaged."""
    (cohort / "torn_0000.nii.gz").write_bytes(b"no image")
    folder = tmp_path / "out"
    run_cohort(cohort, OutputFolder(folder), bundle, execution, RunOptions(report=False), load=lambda: stages)
    return folder


@pytest.fixture
def server(output: Path) -> Iterator[ViewerServer]:
    """A server that serves it."""
    with ViewerServer(ShownRun.read(output)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()

"""`--max-ram` holds: the peak of a process of its own, from start to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.process import run_pipeline
from ctcore.files import write
from ctcore.volume import Geometry, Volume

pytestmark = pytest.mark.slow


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """A CT of 100 slices of a noisy cylinder, as large as a real one."""
    y, x = np.mgrid[:512, :512]
    inside = ((y - 256) / 180) ** 2 + ((x - 256) / 230) ** 2 < 1
    noise = np.random.default_rng(0).normal(40, 15, inside.shape)
    array = np.broadcast_to(np.where(inside, noise, -1000).astype(np.int16), (100, 512, 512)).copy()
    path = tmp_path / "body.nii.gz"
    write(Volume(array, Geometry(array.shape, (0.8, 0.8, 2.5))), path)
    return path


@pytest.mark.parametrize("limit_mib", [1000, 1400, 2500])
def test_the_peak_stays_below(tmp_path: Path, body: Path, limit_mib: int) -> None:
    output = tmp_path / "out"
    finished = run_pipeline(body, output, None, ["--max-ram", f"{limit_mib}M", "--device", "cpu"])
    assert finished.peak_gib * 1024 <= limit_mib
    (case,) = finished.case_records()
    if finished.exit_code == 1:  # refused, with its reason: only where little is allowed
        assert "--max-ram allows" in case["error"]
        assert limit_mib < 2000
    else:
        assert case["status"] == "done"

"""How a run starts: what it imports, seen from processes of their own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctcore.files import write
from ctcore.volume import Geometry, Volume

RUN = """
import sys
from pipeline.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("torch was imported:", "torch" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the home folder is not an environment variable's everywhere")
def test_a_second_run_does_not_import_pytorch(tmp_path: Path) -> None:
    ct = np.random.default_rng(0).normal(0, 60, (24, 32, 32)).astype(np.int16)
    (tmp_path / "input").mkdir()
    write(Volume(ct, Geometry(ct.shape, (4.0, 4.0, 4.0))), tmp_path / "input" / "case_0000.nii.gz")
    environment = os.environ | {"HOME": str(tmp_path)}
    options = ("--device", "cpu", "--backend", "openvino", "--no-report", "--overwrite")
    place = ("--input", str(tmp_path / "input"), "--output", str(tmp_path / "output"))
    command = [sys.executable, "-c", RUN, "run", *place, *options]
    scores = []
    for imported in (True, False):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"torch was imported: {imported}"
        with (tmp_path / "output" / "results.csv").open(encoding="utf-8", newline="") as file:
            scores.append([row["score"] for row in csv.DictReader(file)])
    assert len(scores[0]) == 1
    assert scores[0] == scores[1]

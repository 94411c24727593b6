"""The benchmark at a size where everything takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ctcore.json_files import read_json

KEYS = {
    "speedup_exact",
    "speedup_guided",
    "peak_memory_ratio",
    "fraction_of_matrix_peak",
    "max_softmax_difference",
    "seconds_around_network",
    "seconds_beyond_network",
    "start_up_seconds",
    "cold_cache_seconds",
}


@pytest.mark.slow
def test_both_flows_are_run_and_compared(plans: Path, tmp_path: Path) -> None:
    size = ["--slices", "40", "--pixels", "64", "--peak-size", "64"]
    command = ["benchmarks.inference", "--plans", str(plans), "--output", str(tmp_path), *size]
    finished = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)

    assert finished.returncode in (0, 1), finished.stderr
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert summary.keys() >= KEYS
    assert summary == read_json(tmp_path / "inference.json")
    assert summary["speedup_exact"] > 0
    assert summary["max_softmax_difference"] < 1e-4
    windows = summary["windows"]
    assert min(*windows["exact"], *windows["reference"]) >= 1
    for flow in ("reference", "exact"):
        (record,) = summary["records"][flow]
        assert all(seconds >= 0 for seconds in record["seconds"].values())
        assert sum(record["seconds"].values()) == pytest.approx(summary["seconds_a_case"][flow])
        assert 0.05 < record["peak_gib"] < 6
    assert 0 < summary["start_up_seconds"] < summary["cold_cache_seconds"] + 60

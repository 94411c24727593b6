"""The soak's arithmetic, and a short soak."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import main, missing_of, slope_of


def test_slope_by_hand() -> None:
    cases = np.repeat(np.arange(0, 400, 10.0), 3)
    slope, error = slope_of(cases, 7 + cases * 0.02)
    assert slope == pytest.approx(2.0)  # per 100 cases
    assert error == pytest.approx(0.0, abs=1e-9)
    noise = np.random.default_rng(0).normal(0, 5, len(cases))
    slope, error = slope_of(cases, 7 + cases * 0.02 + noise)
    assert abs(slope - 2.0) < 3 * error
    assert 0.1 < error < 2
    assert np.isnan(slope_of(cases[:2], cases[:2])[0])


def test_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("case_id,status\na,done\nb,done\nc,failed\n")
    for name in ("cases/a.json", "detection_maps/a.nii.gz", "segmentations/a.nii.gz", "cases/b.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert missing_of(tmp_path, 4) == 3


@pytest.mark.slow
def test_a_short_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--output", str(tmp_path / "soak"), "--cases", "40", "--warm-up", "10", "--report"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    by_name = {bound["name"]: bound for bound in told["bounds"]}
    assert by_name["cases without row, record or map"]["value"] == 0
    assert by_name["exit code"]["value"] == 0
    assert by_name["memory, MiB per 100 cases"]["value"] < 30  # so few cases cannot tell more

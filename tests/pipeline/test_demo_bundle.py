"""The bundle that ships: whole, small, and good enough to run end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ctcore.files import read
from ctcore.labels import PDAC, pancreas_mask
from pipeline.bundle import DEMO_BUNDLE, load_bundle
from pipeline.cli import app

REAL_CT = Path(__file__).parents[3] / "shared" / "data" / "real_ct"
MAX_BYTES = 10 * 2**20


def roi_share(case_file: Path, mask: np.ndarray) -> tuple[float, float]:
    """Returns the share of a mask (z, y, x) inside a case's ROI, and the ROI's share of the scan."""
    roi = json.loads(case_file.read_text())["roi"]
    box = tuple(slice(a, b) for a, b in zip(roi["start"], roi["stop"], strict=True))
    size = np.prod([b - a for a, b in zip(roi["start"], roi["stop"], strict=True)])
    return float(mask[box].sum() / mask.sum()), float(size / mask.size)


def test_bundle_is_whole_small_and_says_what_it_is() -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    assert bundle.manifest.demo
    assert sum(f.stat().st_size for f in DEMO_BUNDLE.rglob("*") if f.is_file()) <= MAX_BYTES
    for stage in (bundle.stage1, bundle.stage2):
        assert "phantom" in json.loads((stage / "model.json").read_text())["trained_on"]
    assert not [f for f in DEMO_BUNDLE.rglob("*") if f.suffix in {".pth", ".pkl", ".pt"}]


def test_phantoms_from_end_to_end(tmp_path: Path) -> None:
    runner = CliRunner()
    weight = load_bundle(DEMO_BUNDLE).manifest.fusion.weight
    phantoms, results = tmp_path / "phantoms", tmp_path / "results"
    assert runner.invoke(app, ["phantom", "--cases", "2", "--seed", "31", "--output", str(phantoms)]).exit_code == 0
    outcome = runner.invoke(app, ["run", "--input", str(phantoms / "imagesTr"), "--output", str(results)])
    assert outcome.exit_code == 0, outcome.output
    assert "not for clinical use" in outcome.output
    rows = list(csv.DictReader((results / "results.csv").open()))
    assert len(rows) == 2
    for row in rows:
        case_id = row["case_id"]
        assert row["status"] == "done"
        assert "demo_model" in row["flags"]
        weighted = weight * float(row[f"p_{PDAC}"]) + (1 - weight) * float(row["detection_max"])
        assert float(row["score"]) == pytest.approx(weighted)
        image = read(phantoms / "imagesTr" / f"{case_id}_0000.nii.gz")
        detections = read(results / "detection_maps" / f"{case_id}.nii.gz")
        assert detections.geometry == image.geometry
        assert detections.array.max() == pytest.approx(float(row["detection_max"]), abs=1e-6)
        label = read(phantoms / "labelsTr" / f"{case_id}.nii.gz")
        inside, share = roi_share(results / "cases" / f"{case_id}.json", pancreas_mask(label.array))
        assert inside > 0.9
        assert share < 0.5
    outcome = runner.invoke(
        app,
        [
            *("evaluate", "--predictions", str(results), "--labels", str(phantoms / "labelsTr")),
            *("--output", str(tmp_path / "evaluation"), "--bootstrap", "0"),
        ],
    )
    assert outcome.exit_code == 0, outcome.output
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert 0.0 <= metrics["auroc"]["value"] <= 1.0
    assert metrics["ap"]["ci95"] is None


@pytest.mark.slow
def test_carcinoma_is_told_from_the_rest(tmp_path: Path) -> None:
    """The acceptance benchmark says how well; here, that a bundle made anew is not a blind one."""
    runner = CliRunner()
    phantoms, results, evaluation = tmp_path / "phantoms", tmp_path / "results", tmp_path / "evaluation"
    for command in (
        f"phantom --cases 40 --seed 41 --workers 2 --output {phantoms}",
        f"run --input {phantoms}/imagesTr --output {results} --no-report",
        f"evaluate --predictions {results} --labels {phantoms}/labelsTr --output {evaluation}",
    ):
        outcome = runner.invoke(app, command.split())
        assert outcome.exit_code == 0, outcome.output
    metrics = json.loads((evaluation / "metrics.json").read_text())
    assert metrics["auroc"]["value"] >= 0.75
    assert metrics["ap"]["value"] >= 0.4


@pytest.mark.skipif(not REAL_CT.is_dir(), reason=f"the real CT is not on this machine ({REAL_CT})")
def test_real_ct(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(
        app, ["run", "--input", str(REAL_CT / "abdomen_0000.nii.gz"), "--output", str(tmp_path / "results")]
    )
    assert outcome.exit_code == 0, outcome.output
    ct = read(REAL_CT / "abdomen_0000.nii.gz")
    assert read(tmp_path / "results" / "detection_maps" / "abdomen.nii.gz").geometry == ct.geometry
    case_file = tmp_path / "results" / "cases" / "abdomen.json"
    assert json.loads(case_file.read_text())["roi"]["source"] == "localizer"
    inside, share = roi_share(case_file, read(REAL_CT / "abdomen_pancreas.nii.gz").array > 0)
    assert inside >= 0.9
    assert share <= 0.6

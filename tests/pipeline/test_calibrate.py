"""Calibration from a run's files to a new bundle."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ctcore.detection.fusion import FusionSettings
from ctcore.errors import DatasetError, RequestError
from ctcore.quality.reference import Limits, QualityReference
from pipeline.bundle import Bundle, load_bundle
from pipeline.calibrate import calibrate_bundle, read_cases, tempered
from pipeline.cli import app
from pipeline.records import CaseRecord, FusionRecord

CASES = 60


def make_run(folder: Path, bundle: Bundle, digest: str | None = None) -> Path:
    """A run whose class logits are four times too large, and a table of its classes; one case has failed."""
    rng = np.random.default_rng(3)
    run = folder / "run"
    (run / "cases").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"bundle": {"sha256": digest or bundle.digest}}))
    rows = [("case_id", "class_name")]
    for number in range(CASES):
        logit = rng.normal(0, 1.5)
        positive = rng.random() < 1 / (1 + np.exp(-logit))
        p = float(1 / (1 + np.exp(-4 * logit)))
        d = float(np.clip(0.3 + 0.3 * positive + rng.normal(0, 0.2), 0, 1))
        record = CaseRecord(
            case_id=f"c{number:02d}",
            image=f"c{number:02d}.nii.gz",
            status="done",
            classes={"non-PDAC": 1 - p, "PDAC": p},
            detection_max=p * d,  # its candidates were weighed by the class
            fusion=FusionRecord(rule="mean", terms={"p_lesion": p, "detection_max": d}),
            score=0.5,
        )
        (run / "cases" / f"{record.case_id}.json").write_text(record.model_dump_json())
        rows.append((record.case_id, "PDAC" if positive else "non-PDAC"))
    failed = CaseRecord(case_id="failed", image="failed.nii.gz", status="failed", error="unreadable")
    (run / "cases" / "failed.json").write_text(failed.model_dump_json())
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return run


def test_a_calibrated_bundle_has_the_same_weights(bundle: Bundle, tmp_path: Path) -> None:
    run = make_run(tmp_path, bundle)
    made = calibrate_bundle(
        bundle, run, tmp_path / "labels.csv", tmp_path / "new", fitted_on="sixty cases", fusion="logistic"
    )
    assert json.loads((made.stage2 / "model.json").read_text())["temperature"] == pytest.approx(4, rel=0.5)
    assert made.manifest.fusion.rule == "logistic"
    assert (made.stage2 / "fold_all.safetensors").read_bytes() == (bundle.stage2 / "fold_all.safetensors").read_bytes()
    calibration = made.manifest.calibration
    assert calibration is not None
    assert (calibration.cases, calibration.fitted_on) == (CASES, "sixty cases")
    (point,) = calibration.operating_points
    assert (point.name, point.sensitivity >= 0.95) == ("sensitivity 0.95", True)
    assert load_bundle(tmp_path / "new").manifest.calibration == calibration
    assert bundle.manifest.calibration is None


def test_the_map_counts_as_it_was_before_candidates_were_weighed(
    make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = make_bundle(fusion=FusionSettings(weigh_candidates=True))
    run = make_run(tmp_path, bundle)
    cases = read_cases(bundle, run, tmp_path / "labels.csv")
    records = [json.loads(path.read_text()) for path in sorted((run / "cases").glob("c*.json"))]
    assert cases.detection_max.tolist() == [record["fusion"]["terms"]["detection_max"] for record in records]
    assert cases.detection_max.max() > max(record["detection_max"] for record in records)
    for rule in ("keep", "mean", "logistic"):
        place = (tmp_path / "labels.csv", tmp_path / rule)
        made = calibrate_bundle(bundle, run, *place, fitted_on="sixty cases", fusion=rule)
        assert made.manifest.fusion.weigh_candidates

    path = run / "cases" / "c07.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fusion": None}))
    with pytest.raises(RequestError, match="'c07' does not say how its score was made"):
        read_cases(bundle, run, tmp_path / "labels.csv")


def test_probabilities_are_tempered_as_logits_are() -> None:
    logits = np.array([[0.0, 2.0], [1.0, -1.0]])
    before = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    after = np.exp(logits / 4) / np.exp(logits / 4).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tempered(before, 4.0), after)
    assert np.isfinite(tempered(np.array([[0.0, 1.0]]), 0.5)).all()


def test_a_run_of_another_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    run = make_run(tmp_path, bundle, digest="0" * 64)
    with pytest.raises(RequestError, match="was made by bundle 000000000000, not by"):
        read_cases(bundle, run, tmp_path / "labels.csv")


def test_every_case_needs_a_class_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    run = make_run(tmp_path, bundle)
    labels = tmp_path / "labels.csv"
    text = labels.read_text()
    labels.write_text("\n".join(line for line in text.splitlines() if not line.startswith("c07,")))
    with pytest.raises(DatasetError, match="has no row for 'c07'"):
        read_cases(bundle, run, labels)
    labels.write_text(text.replace("c07,non-PDAC", "c07,cyst").replace("c07,PDAC", "c07,cyst"))
    with pytest.raises(DatasetError, match=r"case 'c07' .* has class 'cyst'; the bundle has non-PDAC, PDAC"):
        read_cases(bundle, run, labels)


def test_the_command(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    quality = QualityReference(cases=30, fitted_on="made up", limits={"head_map_difference": Limits(high=0.4)})
    bundle = make_bundle(quality=quality)
    run = make_run(tmp_path, bundle)
    command = ["bundle", "calibrate", "--bundle", str(bundle.folder), "--predictions", str(run)]
    command += ["--case-labels", str(tmp_path / "labels.csv"), "--output", str(tmp_path / "new")]
    outcome = CliRunner().invoke(
        app, [*command, "--fitted-on", "tests", "--fusion", "mean", "--sensitivity", "0.9", "--specificity", "0.8"]
    )
    assert outcome.exit_code == 0, outcome.output
    assert "fusion rule mean, weight" in outcome.output
    assert "the quality reference is not taken over: 'pipeline bundle fit-quality'" in outcome.output
    assert load_bundle(tmp_path / "new").manifest.quality is None  # it was of other probabilities
    assert "sensitivity 0.9: score >=" in outcome.output
    assert "specificity 0.8: score >=" in outcome.output
    shown = CliRunner().invoke(app, ["bundle", "inspect", str(tmp_path / "new")])
    assert "on 60 cases (tests): sensitivity 0.9 at score" in " ".join(shown.output.split())
    again = CliRunner().invoke(app, [*command, "--fitted-on", "tests"])
    assert again.exit_code == 2

"""Model cards: what is known is there, what is not is said to be not recorded, and nothing is made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ctcore.detection.calibration import Calibration, IsotonicCurve, OperatingPoint
from ctcore.errors import RequestError
from pipeline.bundle import DEMO_BUNDLE, MODEL_CARD, Bundle, load_bundle
from pipeline.calibrate import calibrate_bundle
from pipeline.card_facts import CardFacts, Figure, MeasuredMetrics, read_metrics
from pipeline.cli import app
from pipeline.create_bundle import create_bundle, remade
from pipeline.model_card import NOT_RECORDED, REQUIRED, gaps
from tests.pipeline.test_calibrate import make_run

METRICS: dict[str, Any] = {
    "schema_version": 2,
    "auroc": {"value": 0.9, "ci95": [0.8, 0.95]},
    "ap": {"value": 0.5, "ci95": None},
    "counts": {"cases": 10, "positive": 4, "negative": 6, "lesions": 5},
    "patients": {
        "sensitivity_at_score": {"0.5": {"value": 0.75, "ci95": [0.5, 1.0]}},
        "specificity_at_score": {"0.5": {"value": 0.8, "ci95": [0.7, 0.95]}},
    },
    "lesions": {"false_positives_per_negative_case": {"value": 1.5, "ci95": [1.0, 2.0]}},
}

CALIBRATION = Calibration(
    cases=20,
    positive=10,
    fitted_on="twenty cases",
    isotonic=IsotonicCurve(scores=(0.5,), probabilities=(0.5,)),
    operating_points=(
        OperatingPoint(target="sensitivity", value=0.9, threshold=0.3, sensitivity=0.9, specificity=0.8),
    ),
)


@pytest.fixture
def metrics_file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    return path


def sections(bundle: Bundle) -> dict[str, str]:
    """Returns the text of each section of a bundle's card."""
    parts = (bundle.folder / MODEL_CARD).read_text().split("\n## ")[1:]
    return {title: text.strip() for title, text in (part.split("\n", 1) for part in parts)}


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["bundle", *(str(word) for word in words)])


def test_what_nobody_has_told_is_not_recorded(bundle: Bundle) -> None:
    found = sections(bundle)
    assert set(REQUIRED) <= set(found)
    assert {title for title in REQUIRED if found[title] == NOT_RECORDED} == {
        "Metrics",
        "Scans without a lesion",
        "Licence",
    }
    assert found["Intended use"].startswith("Research")
    assert found["Training data"] == "- stage 1: parametric phantoms\n- stage 2: parametric phantoms"
    assert bundle.card_gaps == [f"{name}: not recorded" for name in ("metrics", "scans without a lesion", "licence")]


def test_training_data_that_no_stage_names(make_stage: Callable[..., Path], tmp_path: Path) -> None:
    stages = make_stage("stage1"), make_stage("stage2", class_names=["non-PDAC", "PDAC"], trained_on="240 cases")
    made = create_bundle(*stages, tmp_path / "b", name="x", description="")
    assert sections(made)["Training data"] == "- stage 1: not recorded\n- stage 2: 240 cases"
    assert "training data: not recorded" in made.card_gaps


def test_figures_with_their_intervals(make_bundle: Callable[..., Bundle], metrics_file: Path) -> None:
    facts = CardFacts(
        intended_use="Trying\nthings out.",
        licence="CC-BY-NC-4.0",
        limits=("Adults only.",),
        metrics=read_metrics(metrics_file, "ten cases"),
    )
    made = make_bundle(card=facts, calibration=CALIBRATION, complete=True)
    found = sections(made)
    assert made.card_gaps == []
    assert found["Intended use"] == "Trying things out."
    assert found["Licence"] == "CC-BY-NC-4.0"
    assert found["Limits"].splitlines()[-1] == "- Adults only."
    assert found["Metrics"].splitlines() == [
        "Measured on ten cases: 4 cases with and 6 without a lesion, 5 lesions. 95 % intervals in brackets.",
        "",
        "- AUROC (patients): 0.900 [0.800, 0.950]",
        "- average precision (lesions): 0.500",
        "- sensitivity at score >= 0.5: 0.750 [0.500, 1.000]",
    ]
    # Wilson's interval of 2 of 10: (0.2 + z^2/20 -+ z sqrt(0.016 + z^2/400)) / (1 + z^2/10) with z = 1.959964
    assert found["Scans without a lesion"].splitlines()[2:] == [
        "- score >= 0.5: 0.200 [0.050, 0.300] of 6 scans (ten cases)",
        "- lesion candidates a scan: 1.500 [1.000, 2.000] of 6 scans (ten cases)",
        "- sensitivity 0.9 (score >= 0.3000): 0.200 [0.057, 0.510] of 10 scans (twenty cases, on which the threshold"
        " was chosen; Wilson's interval)",
    ]


def test_facts_stay_when_a_bundle_is_made_again(
    make_bundle: Callable[..., Bundle], metrics_file: Path, tmp_path: Path
) -> None:
    made = make_bundle(card=CardFacts(licence="MIT", metrics=read_metrics(metrics_file, "ten cases")))
    assert load_bundle(made.folder).manifest.card == made.manifest.card
    again = remade(made, tmp_path / "again", overwrite=False)
    assert (again.folder / MODEL_CARD).read_text() == (made.folder / MODEL_CARD).read_text()


def test_calibration_keeps_the_licence_and_drops_what_was_measured_with_other_scores(
    make_bundle: Callable[..., Bundle], metrics_file: Path, tmp_path: Path
) -> None:
    made = make_bundle(card=CardFacts(licence="MIT", metrics=read_metrics(metrics_file, "ten cases")))
    run = make_run(tmp_path, made)
    calibrated = calibrate_bundle(made, run, tmp_path / "labels.csv", tmp_path / "new", fitted_on="sixty cases")
    assert calibrated.manifest.card == CardFacts(licence="MIT")
    assert calibrated.card_gaps == ["metrics: not recorded"]
    assert "(sixty cases, on which the threshold was chosen" in sections(calibrated)["Scans without a lesion"]


def test_a_card_can_be_asked_to_be_complete(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"metrics: not recorded; .*licence: not recorded; say it"):
        make_bundle(complete=True)
    assert not (tmp_path / "bundle").exists()


def test_gaps_are_found_in_the_text() -> None:
    assert gaps("# x\n") == [f"{title.lower()}: no such section" for title in REQUIRED]
    whole = "".join(f"## {title}\n\nSomething.\n\n" for title in REQUIRED)
    assert gaps(whole) == []
    assert gaps(whole.replace("## Limits\n\nSomething.", "## Limits\n")) == ["limits: no such section"]
    assert gaps(whole.replace("## Licence\n\nSomething.", f"## Licence\n\n{NOT_RECORDED}")) == ["licence: not recorded"]


def test_a_bundle_without_a_card_can_be_loaded(bundle: Bundle) -> None:
    path = bundle.folder / "bundle.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][MODEL_CARD], manifest["card"]
    path.write_text(json.dumps(manifest))
    assert load_bundle(bundle.folder).card_gaps == ["no MODEL_CARD.md"]
    assert load_bundle(bundle.folder).manifest.card == CardFacts()


def test_the_command_line(make_stage: Callable[..., Path], metrics_file: Path, tmp_path: Path) -> None:
    stage1 = make_stage("stage1", trained_on="phantoms")
    stage2 = make_stage("stage2", trained_on="phantoms", class_names=["non-PDAC", "PDAC"])
    parts = ("--stage1", stage1, "--stage2", stage2, "--name", "x")
    result = call("create", *parts, "--output", tmp_path / "bare")
    assert result.exit_code == 0, result.output
    assert "Model card: metrics: not recorded; scans without a lesion: not recorded; licence: not recorded" in (
        result.stdout
    )
    refused = call("create", *parts, "--output", tmp_path / "whole", "--complete")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    measured = ("--metrics", metrics_file, "--measured-on", "ten cases")
    told = (*measured, "--licence", "MIT", "--intended-use", "Tests.", "--limit", "One.", "--limit", "Two.")
    result = call("create", *parts, "--output", tmp_path / "whole", "--complete", *told)
    assert result.exit_code == 0, result.output
    assert "Model card" not in result.stdout
    made = load_bundle(tmp_path / "whole").manifest.card
    assert (made.licence, made.limits, made.intended_use) == ("MIT", ("One.", "Two."), "Tests.")
    assert made.metrics is not None
    assert made.metrics.auroc == Figure(value=0.9, ci95=(0.8, 0.95))

    result = call("describe", "--bundle", tmp_path / "bare", "--output", tmp_path / "told", "--complete", *told)
    assert result.exit_code == 0, result.output
    bare, described = load_bundle(tmp_path / "bare"), load_bundle(tmp_path / "told")
    assert described.manifest.card == made
    weights = [name for name in bare.manifest.files if name != MODEL_CARD]
    assert [described.manifest.files[name] for name in weights] == [bare.manifest.files[name] for name in weights]
    result = call("describe", "--bundle", tmp_path / "told", "--output", tmp_path / "other", "--licence", "MIT-0")
    assert load_bundle(tmp_path / "other").manifest.card == made.model_copy(update={"licence": "MIT-0"})
    assert "complete" in call("inspect", tmp_path / "told").stdout


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[]", "schema version None"),
        (json.dumps(METRICS | {"schema_version": 1}), "schema version 1"),
        (json.dumps({"schema_version": 2, "counts": {}}), "positive"),
        (json.dumps(METRICS | {"auroc": {"value": "high"}}), "auroc.value = 'high'"),
        (json.dumps(METRICS | {"patients": {"specificity_at_score": {"0.5": 1}}}), "what 'pipeline evaluate' writes"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_files_that_are_no_metrics(bundle: Bundle, tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    place = ("--bundle", bundle.folder, "--output", tmp_path / "new")
    result = call("describe", *place, "--metrics", tmp_path / "bad.json", "--measured-on", "x")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert part in result.stderr
    assert not (tmp_path / "new").exists()


def test_requests_that_cannot_be_met(bundle: Bundle, tmp_path: Path, metrics_file: Path) -> None:
    place = ("--bundle", bundle.folder, "--output", tmp_path / "new")
    for words, part in (
        (("--metrics", metrics_file), "give --metrics and --measured-on together"),
        (("--measured-on", "x"), "give --metrics and --measured-on together"),
        (("--metrics", metrics_file, "--measured-on", ""), "measured_on = ''"),
        (("--licence", ""), "licence = ''"),
    ):
        result = call("describe", *place, *words)
        assert result.exit_code == 2, result.output
        assert part in result.stderr


def test_undefined_figures() -> None:
    assert str(Figure(value=None)) == "undefined"
    assert Figure(value=None).complement == Figure(value=None)
    assert (
        MeasuredMetrics(
            measured_on="x", positive=1, negative=0, lesions=1, auroc=Figure(value=None), ap=Figure(value=1.0)
        ).false_positive_rate
        is None
    )


def test_the_shipped_bundle_has_a_complete_card() -> None:
    assert load_bundle(DEMO_BUNDLE).card_gaps == []

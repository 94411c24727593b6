"""The command line: exit codes, one-line errors, help at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctcore.errors import LabelError
from ctcore.files import read
from pipeline.bundle import Bundle, load_bundle
from pipeline.cli import app
from pipeline.stages import Stages

HEAVY = (
    "torch",
    "nnunetv2",
    "openvino",
    "SimpleITK",
    "pydicom",
    "numpy",
    "matplotlib",
    "report_guided_annotation",
)
"""What help need not wait for."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, stages: Stages) -> Callable[..., Result]:
    """Returns a function that runs the command line on the fake stages."""
    monkeypatch.setattr("pipeline.stages.load_stages", lambda *_, **__: stages)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def run(call: Callable[..., Result], tmp_path: Path, bundle: Bundle) -> Callable[..., Result]:
    """Returns a function that calls `pipeline run` on one kind of machine."""

    def invoke(input_path: Path, *more: object, output: Path | None = None) -> Result:
        machine = ("--device", "cpu", "--backend", "torch", "--precision", "fp32")
        chosen = () if "--bundle" in more else ("--bundle", bundle.folder)
        return call("run", "--input", input_path, "--output", output or tmp_path / "out", *machine, *chosen, *more)

    return invoke


def assert_refused(result: Result, part: str) -> None:
    """Checks for exit code 2 and one line on stderr that holds a text."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr


def test_all_done_is_zero(run: Callable[..., Result], cohort: Path, tmp_path: Path) -> None:
    result = run(cohort)
    assert result.exit_code == 0, result.output
    assert "2 done, 0 failed" in result.stdout
    assert "results.csv" in result.stdout
    assert "Warning" not in result.stdout
    assert result.stderr == ""
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    again = run(cohort)
    assert again.exit_code == 0
    assert "2 finished earlier" in again.stdout


def test_some_failed_is_one(run: Callable[..., Result], cohort: Path, tmp_path: Path) -> None:
    (cohort / "broken.nii.gz").write_bytes(b"")
    result = run(cohort)
    assert result.exit_code == 1
    assert "2 done, 1 failed" in result.stdout
    assert "broken" in result.stdout
    assert "Traceback" not in result.output
    assert "Traceback" in (tmp_path / "out" / "run.log").read_text()


def test_single_file_and_options(run: Callable[..., Result], cohort: Path, tmp_path: Path) -> None:
    result = run(cohort / "ill_0000.nii.gz", "--format", "mha", "--no-report", "--folds", "0,1", "--tta")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "detection_maps" / "ill.mha").is_file()
    assert not (tmp_path / "out" / "report").exists()


def test_how_much_is_computed_is_an_option(run: Callable[..., Result], cohort: Path, tmp_path: Path) -> None:
    result = run(cohort, "--windows", "exact", "--max-ram", "64G", "--no-report")
    assert result.exit_code == 0, result.output
    options = json.loads((tmp_path / "out" / "run.json").read_text())["options"]
    assert (options["windows"], options["max_ram"], options["early_exit"]) == ("exact", 64 << 30, False)
    assert_refused(run(cohort, "--max-ram", "much"), "memory 'much' is not a size")
    assert_refused(run(cohort, "--max-seconds", "5"), "measure-efforts")
    assert_refused(run(cohort, "--early-exit"), "has no operating point")


def test_demo_model_is_announced(
    call: Callable[..., Result], make_bundle: Callable[..., Bundle], cohort: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(demo=True)
    result = call("run", "--input", cohort, "--output", tmp_path / "out", "--bundle", bundle.folder, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "not for clinical use" in " ".join(result.stdout.split())


def test_bundle_in_the_package_is_the_default(
    call: Callable[..., Result], cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.bundle.DEMO_BUNDLE", tmp_path / "packaged")
    assert_refused(call("run", "--input", cohort, "--output", tmp_path / "out"), "packaged")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--backend", "tensorflow"), "tensorflow"),
        (("--precision", "fp8"), "fp8"),
        (("--format", "dcm"), "dcm"),
        (("--executor", "slurm"), "slurm"),
        (("--device", "tpu"), "tpu"),
        (("--folds", "0;1"), "0;1"),
        (("--nonsense",), "--nonsense"),
        (("--bundle", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_unknown_option_value_is_refused(
    run: Callable[..., Result], cohort: Path, tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    assert_refused(run(cohort, *options), part)
    assert not (tmp_path / "out").exists()


def test_bad_input_or_output_is_refused(run: Callable[..., Result], cohort: Path, tmp_path: Path) -> None:
    assert_refused(run(tmp_path / "nowhere"), "does not exist")
    (tmp_path / "none").mkdir()
    assert_refused(run(tmp_path / "none"), "holds no image")
    (tmp_path / "text.txt").write_text("words")
    assert_refused(run(tmp_path / "text.txt"), "is not an image")
    (tmp_path / "taken").write_text("a file")
    assert_refused(run(cohort, output=tmp_path / "taken"), "is a file")
    assert (tmp_path / "taken").read_text() == "a file"


def test_damaged_bundle_is_refused(run: Callable[..., Result], cohort: Path, bundle: Bundle) -> None:
    (bundle.stage1 / "fold_all.safetensors").write_bytes(b"damage")
    assert_refused(run(cohort), "stage1/fold_all.safetensors")


def test_missing_arguments_are_refused(call: Callable[..., Result]) -> None:
    assert_refused(call(), "Missing command")
    assert_refused(call("run"), "--input")
    assert_refused(call("phantom", "--cases", "0", "--output", "x", "--seed", "1"), "--cases")
    assert_refused(call("fly"), "fly")
    assert_refused(call("bundle", "fly"), "fly")


def test_fault_while_loading_is_one_line(
    run: Callable[..., Result], cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Stages:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("pipeline.stages.load_stages", broken)
    result = run(cohort)
    assert result.exit_code == 1
    assert result.stderr == "error: unexpected RuntimeError: out of\n"


def test_interruption(run: Callable[..., Result], cohort: Path, stages: Stages) -> None:
    stages.predictor.failure = KeyboardInterrupt()  # type: ignore[attr-defined]
    result = run(cohort)
    assert result.exit_code == 130
    assert "Stopped" in result.stdout


def test_library_chatter_stays_off_the_console(
    run: Callable[..., Result], cohort: Path, tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty(*_: Any, **__: Any) -> Stages:
        print("Please cite the following paper when using this library")
        return stages

    monkeypatch.setattr("pipeline.stages.load_stages", chatty)
    assert "Please cite" not in run(cohort).output
    assert "Please cite" in (tmp_path / "out" / "run.log").read_text()


def test_bundle_commands(call: Callable[..., Result], bundle: Bundle, tmp_path: Path) -> None:
    assert call("bundle", "verify", bundle.folder).exit_code == 0
    shown = call("bundle", "inspect", bundle.folder)
    assert shown.exit_code == 0
    assert "tiny" in shown.stdout
    assert "dynamic-v2" in shown.stdout
    made = tmp_path / "made"
    arguments = ("--stage1", bundle.stage1, "--stage2", bundle.stage2, "--output", made, "--name", "again", "--demo")
    extraction = ("--candidates", "dynamic-v2-mean", "--growth-factor", "5", "--min-confidence", "0.2")
    created = call("bundle", "create", *arguments, "--fusion", "max", *extraction)
    assert created.exit_code == 0, created.output
    candidates = load_bundle(made).manifest.candidates
    assert (candidates.mode, candidates.dynamic_threshold_factor) == ("dynamic-v2-mean", 5)
    assert "yes: demonstration" in " ".join(call("bundle", "inspect", made).stdout.split())
    assert_refused(call("bundle", "create", *arguments), "exists")
    assert_refused(call("bundle", "create", *arguments[:-1], "--fusion", "guess"), "guess")
    settings = tmp_path / "candidates.json"
    settings.write_text('{"mode": "fixed", "fixed_threshold": 0.3, "pancreas_gate_mm": 5}')
    created = call("bundle", "create", *arguments, "--output", tmp_path / "gated", "--candidate-settings", settings)
    assert created.exit_code == 0, created.output
    candidates = load_bundle(tmp_path / "gated").manifest.candidates
    assert (candidates.mode, candidates.pancreas_gate_mm) == ("fixed", 5)
    settings.write_text('{"mode": "fixed"}')
    refused = call("bundle", "create", *arguments, "--output", tmp_path / "other", "--candidate-settings", settings)
    assert_refused(refused, "give a threshold with mode 'fixed'")
    (made / "stage2" / "model.json").write_text("{}")
    assert_refused(call("bundle", "verify", made), "stage2/model.json")


def test_what_is_run_can_be_evaluated(
    run: Callable[..., Result], call: Callable[..., Result], cohort: Path, tmp_path: Path, make_ct: Callable[..., Path]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1}}')
    for case_id in ("ill", "well"):
        lesion = (read(cohort / f"{case_id}_0000.nii.gz").array == 200).astype(np.uint8)
        make_ct(labels / f"{case_id}.nii.gz", array=lesion)
    assert run(cohort).exit_code == 0
    result = call(
        "evaluate",
        "--predictions",
        tmp_path / "out",
        "--labels",
        labels,
        "--output",
        tmp_path / "eval",
        "--bootstrap",
        20,
    )
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["auroc"]["value"] == 1.0
    assert metrics["ap"]["value"] == 1.0
    shown = " ".join(result.stdout.split())
    assert "AUROC │ 1.000 │ none │ 1 positive, 1 negative cases" in shown
    assert "metrics.json" in shown


def test_evaluate_fault_of_a_case_is_one(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: Any, **__: Any) -> None:
        raise LabelError("label 'a.nii.gz' holds 9; correct it")

    monkeypatch.setattr("ctcore.evaluation.evaluate.evaluate", evaluate)
    result = call("evaluate", "--predictions", tmp_path, "--labels", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == "error: label 'a.nii.gz' holds 9; correct it\n"


@pytest.mark.parametrize(
    "command", [(), ("run",), ("evaluate",), ("phantom",), ("bundle",), ("bundle", "create"), ("bundle", "inspect")]
)
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    code = f"""
import sys
from pipeline.cli import app
try:
    app([*{command}, "--help"])
except SystemExit as left:
    print("left with", left.code, [name for name in {HEAVY} if name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "left with 0 []"


def test_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, pipeline.cli; print([name for name in {(*HEAVY, 'pydantic')} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

"""`pipeline phantom`: what arrives, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app


def call(*arguments: object) -> Result:
    """Runs the command line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_phantom_arguments_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def write_cohort(output: Path, cases: int, seed: int, **options: Any) -> None:
        seen.update(options, output=output, cases=cases, seed=seed)

    monkeypatch.setattr("ctcore.phantom.cohort.write_cohort", write_cohort)
    result = call("phantom", "--cases", 3, "--output", tmp_path, "--seed", 7, "--size", "clinical", "--workers", 2)
    assert result.exit_code == 0, result.output
    seen.pop("progress")
    assert seen == {
        "output": tmp_path,
        "cases": 3,
        "seed": 7,
        "task": "pdac",
        "positive_fraction": None,
        "class_fractions": None,
        "anatomy": None,
        "exclude": (),
        "repeat": 1,
        "size": "clinical",
        "domain": "clinical",
        "lesion_ml": None,
        "bend_mm": 0.0,
        "around_mm": None,
        "workers": 2,
    }


def test_phantoms_of_subtypes_around_other_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("ctcore.phantom.cohort.write_cohort", lambda *_, **options: seen.update(options))
    arguments = ("phantom", "--cases", 6, "--output", tmp_path / "out", "--seed", 7, "--task", "subtypes")
    source = ("--anatomy", tmp_path, "--exclude", tmp_path / "a", "--exclude", tmp_path / "b", "--repeat", 3)
    result = call(*arguments, "--class-fractions", "1,2,3.5", *source)
    assert result.exit_code == 0, result.output
    assert (seen["task"], seen["class_fractions"], seen["repeat"]) == ("subtypes", [1.0, 2.0, 3.5], 3)
    assert seen["exclude"] == [tmp_path / "a", tmp_path / "b"]
    refused = call(*arguments, "--class-fractions", "1,two,3")
    assert refused.exit_code == 2
    assert "'1,two,3' is not a list of numbers" in refused.stderr


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    arguments = ("phantom", "--cases", 2, "--output", tmp_path / "out", "--seed", 7)
    for options, reason in (
        (("--task", "subtypes", "--positive-fraction", 0.5), "positive fraction 0.5 is for the task pdac"),
        (("--task", "subtypes", "--lesion-ml", "1,2"), "lesion volumes are drawn for carcinomas in parametric"),
        (("--lesion-ml", "200,100"), "lesions of 200 to 100 ml cannot be made"),
        (("--lesion-ml", "1,9000"), "lesions of 1 to 9000 ml cannot be made"),
        (("--lesion-ml", "nan,1"), "lesions of nan to 1 ml cannot be made"),
        (("--lesion-ml", "many"), "--lesion-ml 'many' is not a list of numbers"),
        (("--lesion-ml", "1,2,3"), "holds 3 numbers"),
        (("--class-fractions", "1,2,3"), "class fractions 1,2,3 are for the task subtypes"),
    ):
        result = call(*arguments, *options)
        assert result.exit_code == 2
        assert reason in result.stderr
    assert not (tmp_path / "out").exists()


def test_phantom_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = call("phantom", "--cases", 3, "--output", tmp_path / "taken", "--seed", 7)
    assert result.exit_code == 2
    assert "is a file" in result.stderr

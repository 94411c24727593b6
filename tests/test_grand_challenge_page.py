"""docs/grand-challenge.md, line by line; what needs a container engine is held against the Dockerfile."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ctcore.files import read, write
from ctcore.phantom.cohort import write_cohort
from pipeline.bundle import DEMO_BUNDLE
from pipeline.cli import app
from tests.page import ROOT, broken_links, lines

PAGE = "grand-challenge.md"
CLINICAL = {"age": 61, "sex": None, "study_date": None, "scanner": None}


def test_every_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cohort(tmp_path / "phantoms", 1, 12, around_mm=0)
    monkeypatch.chdir(tmp_path)
    (ct,) = (tmp_path / "phantoms" / "imagesTr").iterdir()
    write(read(ct), Path("scan.mha"))
    Path("clinical.json").write_text(json.dumps(CLINICAL))
    shutil.copytree(DEMO_BUNDLE, "my_bundle")
    likelihoods = []
    for line in lines(PAGE, "sh"):
        program, *words = shlex.split(line)
        if program == "pipeline":
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, f"{line}\n{result.output}"
            likelihoods.append(float(Path("test/output/pdac-likelihood.json").read_text()))
        else:
            assert program in {"mkdir", "cp", "cat"}
            subprocess.run([program, *words], check=True, capture_output=True)
    assert len(likelihoods) == 2
    assert likelihoods[0] == likelihoods[1]
    run = ["run", "--input", "scan.mha", "--output", "results", "--device", "cpu", "--no-report"]
    assert CliRunner().invoke(app, run).exit_code == 0
    assert json.loads(Path("results/cases/scan.json").read_text())["score"] == likelihoods[0]
    detection = read(Path("test/output/images/pdac-detection-map/detection_map.mha"))
    assert detection.geometry == read(Path("scan.mha")).geometry
    assert json.loads(Path("test/case.json").read_text())["clinical_information"] == CLINICAL


def test_docker_commands_fit_the_dockerfile() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)", dockerfile, flags=re.MULTILINE))
    tags = set()
    commands = [line for line in lines(PAGE, "text") if line.startswith("docker ")]
    for line in commands:
        _, command, *words = shlex.split(line)
        if command == "build":
            given = [words[i + 1].split("=")[0] for i, word in enumerate(words) if word == "--build-arg"]
            assert set(given) <= set(arguments)
            assert words[-1] == "."
            tags.add(words[words.index("--tag") + 1])
        elif command == "run":
            assert words[words.index("--network") + 1] == "none"
            for mount in (words[i + 1] for i, word in enumerate(words) if word == "-v"):
                assert mount.split(":")[1] in dockerfile
            assert words[-1] in tags
        else:
            assert (command, words[0] in tags) == ("save", True)
    assert [line.split()[1] for line in commands] == ["build", "build", "run", "run", "run", "save"]
    text = (ROOT / "docs" / PAGE).read_text()
    assert arguments["BASE"] in text
    assert f"`VARIANT={arguments['VARIANT']}`, the default" in text


def test_links_of_the_page() -> None:
    assert broken_links(PAGE) == []

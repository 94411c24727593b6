"""docs/train-localizer.md, line by line, on a tiny dataset in PANORAMA's layout."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import pipeline.cli
import stage1_localizer.cli
from ctcore.json_files import read_json
from tests.ctcore.datasets.layouts_on_disk import write_json_file, write_panorama
from tests.page import ROOT, broken_links, lines

PAGE = "train-localizer.md"
APPS = {"stage1-localizer": stage1_localizer.cli.app, "pipeline": pipeline.cli.app}

TINY = {"spacing_mm": "[2.0,1.5,1.0]"}
TINY_PLAN = TINY | {"patch_size": "[16,16,16]", "batch_size": "2", "features": "[4,8,8]", "blocks_per_level": "[1,1,1]"}
TINY_TRAINING = TINY_PLAN | {"epochs": "1", "iterations_per_epoch": "1", "validation_iterations": "1"}
CHANGES = {"prepare": TINY, "plan": TINY_PLAN, "train": TINY_TRAINING}
"""What makes the page's recipe small enough for a test, by command."""

STUDIES = {f"10000{number}_00001": ("PDAC", "non-PDAC")[number % 2] for number in range(10)}


def shell_lines(variables: dict[str, str]) -> Iterator[str]:
    """Yields the page's commands with variables filled in."""
    for line in lines(PAGE, "sh"):
        yield re.sub(r"\$(\w+)", lambda match: variables[match.group(1)], line)


@pytest.mark.usefixtures("one_thread")
def test_every_line_of_the_page(tmp_path: Path) -> None:
    data, work = write_panorama(tmp_path / "PANORAMA", STUDIES, automatic=["100000_00001"]), tmp_path / "work"
    folds = {f"Fold {k} validation": [f"10000{2 * k}_00001", f"10000{2 * k + 1}_00001"] for k in range(5)}
    write_json_file(data / "folds.json", folds)
    shutil.copytree(ROOT / "pipeline" / "demo_bundle" / "stage2", work / "stage2-model")
    commands = []
    for line in shell_lines({"DATA": str(data), "WORK": str(work)}):
        program, *words = shlex.split(line)
        if "=" in program:  # DATA and WORK
            continue
        command = words[0]
        commands.append(command)
        for field, value in CHANGES.get(command, {}).items():
            words += ["--set", f"{field}={value}"]
        words += {
            "prepare": ["--workers", "1"],
            "plan": ["--workers", "1"],
            "train": ["--workers", "0", "--device", "cpu"],
        }.get(command, [])
        result = CliRunner().invoke(APPS[program], words)
        assert result.exit_code == 0, f"{line}\n{result.output}"
    assert commands == ["prepare", "prepare", "plan", "train", "evaluate", "export", "bundle"]

    metrics = read_json(work / "stage1-evaluation" / "metrics.json")
    assert (metrics["cases"], metrics["failed"], sorted(metrics["by_fold"])) == (10, {}, ["0", "1", "2", "3", "4"])
    model = read_json(work / "stage1-model" / "model.json")
    assert model["folds"] == ["0", "1", "2", "3", "4"]
    assert (model["patch_size"], model["margin_mm"]) == ([16, 16, 16], [15.0, 50.0, 100.0])
    assert (model["recipe"]["epochs"], model["recipe"]["segmentation_loss"]) == (1, "dice")
    assert (work / "bundle" / "stage1" / "fold_4.safetensors").is_file()


def test_what_the_page_does_not_run_is_there() -> None:
    """Commands and options that the page shows beside the way exist."""
    for line in lines(PAGE, "text"):
        words = re.sub(r"^torchrun --nproc_per_node 4 -m stage1_localizer", "stage1-localizer", line).split()
        if words[0] not in APPS:
            continue
        command = getattr(get_command(APPS[words[0]]), "commands", {})[words[1]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_links_of_the_page() -> None:
    assert broken_links(PAGE) == []

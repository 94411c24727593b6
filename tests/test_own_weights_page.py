"""docs/own-weights.md, line by line, with networks that compute in milliseconds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import pipeline.cli
from ctcore.files import read, write
from ctcore.json_files import read_json
from tests.page import ROOT, broken_links, lines
from tests.pipeline.imported import write_cts, write_folders

PAGE = "own-weights.md"


@pytest.mark.usefixtures("one_thread")
def test_every_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stage1, stage2 = write_folders(tmp_path / "models")
    write_cts(tmp_path / "scans", 2)
    done = []
    for line in lines(PAGE, "sh"):
        if re.match(r"STAGE\d=", line):
            continue
        program, *words = shlex.split(line.replace("$STAGE1", str(stage1)).replace("$STAGE2", str(stage2)))
        assert program == "pipeline"
        done.append(" ".join(words[:2]) if words[0] == "bundle" else words[0])
        if words[0] == "run":
            words += ["--device", "cpu", "--backend", "torch"]
        elif words[0] == "evaluate":  # the first of the two CTs has the lesion that was found
            for k, path in enumerate(sorted((tmp_path / "results" / "detection_maps").iterdir())):
                found = read(path)
                label = found.with_array(((found.array > 0) & (k == 0)).astype(np.uint8))
                write(label, tmp_path / "labels" / path.name)
            words += ["--bootstrap", "0"]
        result = CliRunner().invoke(pipeline.cli.app, words)
        assert result.exit_code == 0, f"{line}\n{result.output}"
    imports, exports = "bundle import-nnunet", "bundle export-nnunet"
    assert done == [imports, "bundle inspect", "run", "evaluate", "run", imports, imports, exports]

    header = (tmp_path / "results" / "results.csv").read_text().splitlines()[0]
    assert header == "case_id,status,score,detection_max,n_candidates,flags,seconds"
    assert read_json(tmp_path / "evaluation" / "metrics.json")["auroc"]["value"] is not None
    assert (tmp_path / "nnunet-models" / "stage2" / "fold_0" / "checkpoint_final.pth").is_file()
    factors = [read_json(tmp_path / name / "bundle.json")["candidates"] for name in ("my-bundle", "baseline", "pandx")]
    assert [settings["dynamic_threshold_factor"] for settings in factors] == [2.5, 2.5, 15.0]


def test_options_of_the_table_exist() -> None:
    bundle = getattr(get_command(pipeline.cli.app), "commands", {})["bundle"]
    options = {option for parameter in bundle.commands["import-nnunet"].params for option in parameter.opts}
    named = re.findall(
        r"`(--[\w-]+)[^`]*`", (ROOT / "docs" / PAGE).read_text().split("## What it")[0].split("### What an")[0]
    )
    assert set(named) <= options
    assert {"--lesion-label", "--folds", "--preset"} <= set(named)


def test_links_of_the_page() -> None:
    assert broken_links(PAGE) == []

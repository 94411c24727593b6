"""docs/python.md, line by line."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import pipeline
from ctcore.files import read
from ctcore.phantom.cohort import write_cohort
from tests.page import ROOT, blocks, broken_links

PAGE = "python.md"


def test_every_line_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cohort(tmp_path / "phantoms", 2, 12, around_mm=0)
    monkeypatch.chdir(tmp_path)
    for path, name in zip(sorted((tmp_path / "phantoms" / "imagesTr").iterdir()), ("scan", "another"), strict=True):
        path.rename(f"{name}.nii.gz")
    Path("damaged.nii.gz").write_bytes(Path("scan.nii.gz").read_bytes()[:1000])
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(PAGE, "python")):
        exec(compile(block, f"{PAGE}, block {number}", "exec"), names)
    told = capsys.readouterr().out
    assert "damaged.nii.gz cannot be used: 'damaged.nii.gz'" in told
    assert "wrong request: 'missing.nii.gz' does not exist" in told
    assert told.count("another ") == 1
    assert "not for clinical use" in told
    ct = read(Path("scan.nii.gz"))
    for name in ("detection_map", "segmentation"):
        assert read(Path(f"{name}.nii.gz")).geometry.allclose(ct.geometry, 1e-6)
    assert names["output"].case_id == "patient 7"
    assert Path("case.json").is_file()


def test_the_table_names_what_there_is() -> None:
    text = (ROOT / "docs" / PAGE).read_text()
    for name in ("LoadedBundle", "CaseOutput", "LesionCandidate"):
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", text, flags=re.MULTILINE)
        fields = [field.name for field in dataclasses.fields(getattr(pipeline, name))]
        assert re.findall(r"`(\w+)`", row) == fields
    for name in ("load_bundle", "run_case"):
        (row,) = re.findall(rf"^\| `{name}\((.*)\)` \|", text, flags=re.MULTILINE)
        parameters = list(inspect.signature(getattr(pipeline, name)).parameters)
        assert [word.split("=")[0] for word in row.split(", ") if word != "*"] == parameters


def test_links_of_the_page() -> None:
    assert broken_links(PAGE) == []

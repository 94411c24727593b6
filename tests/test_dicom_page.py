"""docs/dicom.md, line by line, on a small study with a phantom's values."""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline.cli
from ctcore import bounds
from ctcore.dicom import archive, choose, grid, source, suitability
from ctcore.json_files import read_json
from ctcore.volume import Geometry, Volume
from tests.ctcore.dicom.series_on_disk import write_series
from tests.page import ROOT, broken_links, lines

PAGE = "dicom.md"


def commands(variables: dict[str, str]) -> Iterator[list[str]]:
    """Yields the page's commands with its variables filled in."""
    for line in lines(PAGE, "sh"):
        if not re.fullmatch(r"\w+=\S+", line):
            yield shlex.split(re.sub(r"\$(\w+)", lambda match: variables[match.group(1)], line))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with two studies, one of them zipped, and what else lies about."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans"
    for number in (1, 2):
        values = rng.normal(0, 60, (20, 32, 32)).astype(np.int16)
        ct = Volume(values, Geometry(values.shape, (1.5, 1.5, 3.0)))
        write_series(folder / f"study {number}" / "axial", ct, study=str(number), patient=f"Patient {number}")
    with zipfile.ZipFile(folder / "second.zip", "w") as made:
        for path in sorted((folder / "study 2" / "axial").iterdir()):
            made.write(path, path.name)
            path.unlink()
    (folder / "notes.txt").write_text("words")
    return folder


def test_every_line_of_the_page(tmp_path: Path, scans: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom, of the extra 'dicom', is not installed")
    work, done = tmp_path / "work", []
    for program, *words in commands({"SCANS": str(scans), "WORK": str(work)}):
        assert program == "pipeline"
        device = ["--device", "cpu", "--no-report"] if words[0] == "run" else []
        result = CliRunner().invoke(pipeline.cli.app, words + device)
        assert result.exit_code == 0, f"{words}\n{result.output}"
        done.append(words[0])
    assert done == ["dicom", "dicom", "run", "run", "run"]

    run = read_json(work / "results" / "run.json")
    assert [row["verdict"] for row in run["dicom"]] == ["chosen", "chosen"]
    assert all(re.fullmatch(r"ct-[0-9a-f]{12}", case["case_id"]) for case in run["cases"])
    assert all(case["case_id"].startswith("A1-") for case in read_json(work / "named" / "run.json")["cases"])
    for case in run["cases"]:
        files = {path.name for path in (work / "dicom-results" / "dicom" / case["case_id"]).iterdir()}
        assert "report.dcm" in files
        assert files <= {"lesions.dcm", "segmentation.dcm", "report.dcm"}
        assert (work / "results" / "detection_maps" / f"{case['case_id']}.nii.gz").is_file()
    assert "Patient" not in (work / "results" / "run.json").read_text()


def test_the_pages_figures_are_the_codes() -> None:
    text = " ".join((ROOT / "docs" / PAGE).read_text().split())
    assert f"of {suitability.MIN_SLICES} slices at least" in text
    assert f"{source.MAX_OBJECT_BYTES >> 20} MiB an object, {suitability.MAX_SIDE} rows and columns" in text
    assert f"2^{bounds.MAX_VOXELS.bit_length() - 1} voxels a series" in text
    assert f"{archive.MAX_MEMBERS:,} files, {archive.MAX_ARCHIVE_BYTES >> 30} GiB" in text
    assert archive.MAX_RATIO == 100
    assert pytest.approx(np.cos(np.radians(30))) == suitability.AXIAL_COSINE
    assert f"{grid.SPACING_TOLERANCE:.0%}".replace("%", " %") in text
    assert f"{grid.TILT_TOLERANCE_DEGREES} degrees" in text
    assert f"{grid.LATERAL_TOLERANCE_MM} mm" in text
    assert choose.DIGITS == 12


def test_links_of_the_page() -> None:
    assert broken_links(PAGE) == []

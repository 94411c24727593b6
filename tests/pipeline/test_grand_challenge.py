"""A challenge's container: its folders, its bad input, and no network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ctcore.errors import RequestError
from ctcore.files import read
from ctcore.phantom.cohort import write_cohort
from pipeline import grand_challenge
from pipeline.bundle import Bundle
from pipeline.cli import app
from pipeline.clinical_information import ClinicalInformation, read_clinical_information
from pipeline.stages import Stages
from tests.pipeline.conftest import LESION_PROBABILITY, FakePredictor

OFFLINE = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from pipeline.cli import main
main()
"""

GIVEN = {"age": 67, "sex": "F", "study_date": None, "scanner": "SIEMENS"}


@pytest.fixture
def folders(tmp_path: Path, make_ct: Callable[..., Path]) -> tuple[Path, Path]:
    """The challenge's input, with a CT and clinical information, and an empty output."""
    cts = tmp_path / "input" / "images" / "venous-ct"
    cts.mkdir(parents=True)
    make_ct(cts / "0a1b2c.mha")
    (tmp_path / "input" / "clinical-information-pancreatic-ct.json").write_text(json.dumps(GIVEN))
    (tmp_path / "output").mkdir()
    return tmp_path / "input", tmp_path / "output"


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, stages: Stages, bundle: Bundle, folders: tuple[Path, Path]
) -> Callable[..., Result]:
    """Returns a function that answers the case with the fake stages."""
    monkeypatch.setattr("pipeline.stages.load_stages", lambda *_, **__: stages)
    source, output = folders

    def invoke(*more: object) -> Result:
        places = ("--input", source, "--output", output, "--bundle", bundle.folder, "--device", "cpu")
        return CliRunner().invoke(app, ["grand-challenge", *(str(word) for word in (*places, *more))])

    return invoke


def files_below(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def assert_nothing(result: Result, output: Path, part: str, code: int = 2) -> None:
    """Checks for one line that holds a text, and for no answer, not half of one."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr
    assert files_below(output) == []


def test_the_sockets(call: Callable[..., Result], folders: tuple[Path, Path]) -> None:
    source, output = folders
    result = call()
    assert result.exit_code == 0, result.output
    assert files_below(output) == ["images/pdac-detection-map/detection_map.mha", "pdac-likelihood.json"]
    likelihood = json.loads((output / "pdac-likelihood.json").read_text())
    assert likelihood == pytest.approx(0.5 * 0.9 + 0.5 * LESION_PROBABILITY)
    ct = read(source / "images" / "venous-ct" / "0a1b2c.mha")
    made = read(output / "images" / "pdac-detection-map" / "detection_map.mha")
    assert made.geometry == ct.geometry
    assert made.array.dtype == np.float32
    np.testing.assert_array_equal(made.array, np.where(ct.array == 200, np.float32(LESION_PROBABILITY), 0))
    assert "Clinical information: age, sex, scanner; no model uses it yet" in result.stdout
    assert "67" not in result.stdout.split("Clinical information")[1].splitlines()[0]


def test_what_else_lies_there_is_not_an_image(call: Callable[..., Result], folders: tuple[Path, Path]) -> None:
    source, output = folders
    (source / "images" / "venous-ct" / "inputs.json").write_text("[]")
    (source / "clinical-information-pancreatic-ct.json").unlink()
    result = call()
    assert result.exit_code == 0, result.output
    assert "Clinical information: none" in result.stdout
    assert len(files_below(output)) == 2


def test_everything_is_recorded_where_asked_for(
    call: Callable[..., Result], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    assert call("--record", tmp_path / "record.json").exit_code == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["clinical_information"] == GIVEN | {"age": 67.0}
    assert (record["case_id"], record["status"], len(record["candidates"])) == ("0a1b2c", "done", 1)
    (folders[0] / "clinical-information-pancreatic-ct.json").unlink()
    assert call("--record", tmp_path / "record.json").exit_code == 0
    assert json.loads((tmp_path / "record.json").read_text())["clinical_information"] is None


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "cannot be read as JSON"),
        ("[67]", "holds a JSON list"),
        ('{"age": -1}', "age = -1"),
        ('{"age": NaN}', "it holds NaN"),
        ('{"age": "old"}', "age = 'old'"),
        ('{"sex": 1}', "sex = 1"),
    ],
)
def test_broken_clinical_information(
    call: Callable[..., Result], folders: tuple[Path, Path], content: str, part: str
) -> None:
    (folders[0] / "clinical-information-pancreatic-ct.json").write_text(content)
    assert_nothing(call(), folders[1], part)


def test_fields_that_nobody_knows_are_said_and_left_out(
    call: Callable[..., Result], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    content = json.dumps({"age": "067Y", "ca19_9": 40, "sexx": "F"})
    (folders[0] / "clinical-information-pancreatic-ct.json").write_text(content)
    result = call("--record", tmp_path / "record.json")
    assert result.exit_code == 0, result.output
    assert "Warning: unknown clinical fields are left out: ca19_9, sexx\n" in result.stdout
    recorded = json.loads((tmp_path / "record.json").read_text())["clinical_information"]
    assert recorded == {"age": 67.0, "sex": None, "study_date": None, "scanner": None}


def test_ages(tmp_path: Path) -> None:
    for value, years in ((67, 67.0), (0.5, 0.5), ("067Y", 67.0), ("18m", 1.5), ("026W", 26 * 7 / 365.25), (None, None)):
        assert ClinicalInformation.model_validate({"age": value}).age == pytest.approx(years)
    (tmp_path / "empty.json").write_text("{}")
    read_ = read_clinical_information(tmp_path / "empty.json")
    assert read_ is not None
    assert read_.information.given == ()
    assert read_clinical_information(tmp_path / "missing.json") is None


def test_no_ct_several_and_half_a_ct(
    call: Callable[..., Result], folders: tuple[Path, Path], make_ct: Callable[..., Path]
) -> None:
    source, output = folders
    cts = source / "images" / "venous-ct"
    make_ct(cts / "another.mha")
    assert_nothing(call(), output, "holds 2 images (0a1b2c.mha, another.mha); leave one")
    (cts / "another.mha").unlink()
    content = (cts / "0a1b2c.mha").read_bytes()
    (cts / "0a1b2c.mha").write_bytes(content[: len(content) // 2])
    assert_nothing(call(), output, "'0a1b2c.mha'", code=1)
    (cts / "0a1b2c.mha").unlink()
    assert_nothing(call(), output, "holds no image")
    cts.rmdir()
    assert_nothing(call(), output, "is not a folder")


def test_an_earlier_answer_does_not_stay_for_another_case(
    call: Callable[..., Result], folders: tuple[Path, Path], stages: Stages
) -> None:
    assert call().exit_code == 0
    assert isinstance(stages.predictor, FakePredictor)
    stages.predictor.failure = ValueError("no")
    assert_nothing(call(), folders[1], "ValueError: no", code=1)


def test_half_an_answer_is_taken_away(
    call: Callable[..., Result], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(grand_challenge, "write_json", full)
    assert_nothing(call(), folders[1], "No space left on device", code=1)


def test_an_output_that_is_a_file(call: Callable[..., Result], folders: tuple[Path, Path]) -> None:
    folders[1].rmdir()
    folders[1].write_text("")
    result = call()
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"output '{folders[1]}' cannot be used" in result.stderr
    with pytest.raises(RequestError, match="cannot be used"):
        grand_challenge.prepare_output(folders[1])


def test_the_shipped_model_without_a_network(tmp_path: Path) -> None:
    write_cohort(tmp_path / "phantoms", 1, 9, around_mm=0)
    (ct,) = (tmp_path / "phantoms" / "imagesTr").iterdir()
    cts = tmp_path / "input" / "images" / "venous-ct"
    cts.mkdir(parents=True)
    (tmp_path / "input" / "clinical-information-pancreatic-ct.json").write_text('{"age": null, "sex": null}')
    from ctcore.files import write

    write(read(ct), cts / "case.mha")
    places = ("--input", str(tmp_path / "input"), "--output", str(tmp_path / "output"), "--device", "cpu")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "grand-challenge", *places], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "not for clinical use" in done.stdout
    assert 0 <= json.loads((tmp_path / "output" / "pdac-likelihood.json").read_text()) <= 1
    made = read(tmp_path / "output" / "images" / "pdac-detection-map" / "detection_map.mha")
    assert made.geometry == read(cts / "case.mha").geometry

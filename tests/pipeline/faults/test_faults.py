"""A faulty input beside a healthy one: one of the two fails, with a reason, and nothing else happens."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctcore.files import read_ct
from pipeline.bundle import Bundle
from pipeline.cli import app
from pipeline.stages import Stages
from tests.pipeline.faults.fault import FAULTY, HEALTHY, Fault, ct, failed
from tests.pipeline.faults.file_faults import FILE_FAULTS
from tests.pipeline.faults.image_faults import IMAGE_FAULTS

Check = Callable[[Fault], None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the healthy CT."""
    folder = tmp_path / "in"
    ct(folder / f"{HEALTHY}_0000.nii.gz")
    return folder


@pytest.fixture
def run(
    tmp_path: Path, source: Path, bundle: Bundle, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Result]:
    """Returns a function that runs the folder by the command line, on the fake stages."""
    monkeypatch.setattr("pipeline.stages.load_stages", lambda *_, **__: stages)
    places = ("--input", source, "--output", tmp_path / "out", "--bundle", bundle.folder)
    machine = ("--device", "cpu", "--backend", "torch", "--precision", "fp32", "--no-report")
    return lambda: CliRunner().invoke(app, [str(word) for word in ("run", *places, *machine)])


@pytest.fixture
def check(tmp_path: Path, source: Path, run: Callable[[], Result], capfd: pytest.CaptureFixture[str]) -> Check:
    """Returns a function that puts a fault beside the healthy CT, runs both and looks at all that is left behind."""

    def checked(fault: Fault) -> None:
        fault.make(source)
        result, output = run(), tmp_path / "out"
        assert result.exit_code == (1 if fault.end == "failed" else 0), result.output
        assert result.stderr == ""
        assert capfd.readouterr().err == ""  # libraries in C write there past Python
        assert "Traceback" not in result.output

        expected = {HEALTHY: "done"} | ({} if fault.end == "left out" else {fault.case_id: fault.end})
        run_record = json.loads((output / "run.json").read_text())
        assert run_record["complete"]
        assert {case["case_id"]: case["status"] for case in run_record["cases"]} == expected
        with (output / "results.csv").open(newline="") as table:
            assert {row["case_id"]: row["status"] for row in csv.DictReader(table)} == expected
        files = [path.relative_to(output) for path in output.rglob("*") if path.is_file()]
        assert not [path for path in files if path.name.startswith(".") or "partial" in path.name]
        done = {case_id for case_id, end in expected.items() if end == "done"}
        assert {path.name.removesuffix(".nii.gz") for path in files if path.parent.name == "detection_maps"} == done
        assert {path.name.removesuffix(".json") for path in files if path.parent.name == "cases"} == set(expected)

        if fault.end == "left out":
            return
        case = json.loads((output / "cases" / f"{fault.case_id}.json").read_text())
        assert tuple(case["flags"]) == fault.flags
        if fault.end == "failed":
            assert fault.says in case["error"]
            assert "\n" not in case["error"]
            assert str(tmp_path) not in case["error"]
            assert case["error"] in result.stdout.replace("\n", "") or "[" in case["error"]
            assert (case["score"], case["detection_max"]) == (None, None)
            assert "Traceback" in (output / "run.log").read_text()

    return checked


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_a_faulty_file(check: Check, name: str) -> None:
    check(FILE_FAULTS[name])


@pytest.mark.parametrize("name", IMAGE_FAULTS)
def test_a_faulty_image(check: Check, name: str) -> None:
    check(IMAGE_FAULTS[name])


def test_a_file_without_permission(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by a changed `open`: nothing is forbidden to a superuser, as whom tests may run."""
    opened = Path.open

    def refusing(path: Path, *arguments: object, **options: object) -> object:
        if path.name.startswith(FAULTY) and path.parent.name == "in" and arguments == ("rb",):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    def make(folder: Path) -> None:
        ct(folder / f"{FAULTY}.nii.gz")
        monkeypatch.setattr(Path, "open", refusing)

    check(failed(make, "'faulty.nii.gz' cannot be read: permission denied; change its permissions, or copy it again"))


def test_a_file_that_vanishes(check: Check, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there when the folder is listed, and gone when its turn comes."""

    def make(folder: Path) -> None:
        path = ct(folder / f"{FAULTY}.nii.gz")
        monkeypatch.setattr("pipeline.run._Run._reuse", lambda *_: path.unlink(missing_ok=True))

    check(failed(make, "'faulty.nii.gz' cannot be read: it is not there; check or replace it"))


def test_a_file_that_grows(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program goes on writing while it is read."""

    def slow(path: Path) -> object:
        volume = read_ct(path)
        if path.name.startswith(FAULTY):
            path.write_bytes(path.read_bytes() + bytes(100))
        return volume

    monkeypatch.setattr("ctcore.cts.read_ct", slow)
    check(
        failed(
            lambda folder: ct(folder / f"{FAULTY}.nii.gz"),
            "'faulty.nii.gz' changed while it was read; run again when it is complete",
        )
    )

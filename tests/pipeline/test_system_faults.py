"""What the system does to a run: kills, full disks, lost folders, no memory. Each ends in one line, nothing half."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore.errors import OutputError, OutputGoneError, RequestError
from ctcore.files import write
from ctcore.inference.backends.choose import Execution
from ctcore.lock import LOCK_NAME, locked
from ctcore.volume import Geometry, Volume
from pipeline.bundle import Bundle
from pipeline.log import log_to
from pipeline.observer import SilentObserver
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.stages import Stages
from tests.pipeline.conftest import FakeLocalizer, FakePrediction, FakePredictor
from tests.pipeline.stub_run import (
    Request,
    apart,
    bytes_below,
    changes_of,
    run_and_die,
    run_here,
    run_on_a_full_disk,
)

DETERMINISTIC = ("--no-report", "--deterministic")


@pytest.fixture
def request_(cohort: Path, bundle: Bundle, tmp_path: Path) -> Request:
    """A run of two cases whose output tells no times."""
    return Request(cohort, bundle.folder, tmp_path / "out", DETERMINISTIC)


@pytest.fixture
def run(cohort: Path, tmp_path: Path, bundle: Bundle, execution: Execution) -> Callable[..., RunSummary]:
    """Returns a function that runs the cohort on given stages."""

    def runner(stages: Stages | None = None, observer: Any = None, **options: Any) -> RunSummary:
        made = stages or Stages(FakeLocalizer(), FakePredictor())
        folder = OutputFolder(tmp_path / "out")
        settings = RunOptions(**({"report": False} | options))
        return run_cohort(cohort, folder, bundle, execution, settings, load=lambda: made, observer=observer)

    return runner


def undisturbed(request: Request) -> dict[str, bytes]:
    """Returns what a run leaves, and removes it."""
    assert run_here(request).code == 0
    files = bytes_below(request.output)
    shutil.rmtree(request.output)
    return files


EVERY = [pytest.param(20, id="some"), pytest.param(1, id="every", marks=pytest.mark.slow)]
"""Of how many changes on the disk one is tried."""


@pytest.mark.parametrize("step", EVERY)
def test_killed_before_a_change_on_the_disk(request_: Request, step: int) -> None:
    """What the same command makes of it afterwards is the same to the byte."""
    _, changes = apart(changes_of, request_)
    shutil.rmtree(request_.output)
    expected = undisturbed(request_)
    assert changes > 60
    for number in range(1, changes + 1, step):
        code, _ = apart(run_and_die, request_, number)
        assert code == -signal.SIGKILL, number
        assert run_here(request_).code == 0, number
        assert bytes_below(request_.output) == expected, number
        shutil.rmtree(request_.output)


@pytest.mark.parametrize("step", EVERY)
def test_a_killed_run_leaves_no_table_of_the_run_before(request_: Request, step: int) -> None:
    """Whose scores an evaluation would join with new maps."""
    other = Request(request_.cohort, request_.bundle, request_.output, (*DETERMINISTIC, "--tta"))
    _, changes = apart(changes_of, other)
    for number in range(1, changes + 1, step):
        shutil.rmtree(request_.output)
        assert run_here(request_).code == 0
        apart(run_and_die, other, number)
        records = [json.loads(path.read_text()) for path in (request_.output / "cases").glob("[!.]*.json")]
        of_one_run = len(records) == 2 and len({record["made_with"]["tta"] for record in records}) == 1
        assert of_one_run or not (request_.output / "results.csv").exists(), number


def complete(output: Path) -> bool:
    """Whether `run.json` says that the run came to its end."""
    return bool(json.loads((output / "run.json").read_text())["complete"])


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_is_full_at_any_moment(request_: Request, lasting: bool, step: int) -> None:
    _, changes = apart(changes_of, request_)
    shutil.rmtree(request_.output)
    expected = undisturbed(request_)
    for number in range(1, changes + 1, step):
        _, outcome = apart(run_on_a_full_disk, request_, number, lasting)
        assert outcome.code in (0, 1, 2), number  # 0: what could not be removed, or said to the log
        assert "Traceback" not in outcome.stdout + outcome.stderr
        assert all(line.startswith(("error: ", "Warning: the log")) for line in outcome.stderr.splitlines())
        if outcome.code == 1 and not outcome.stderr:
            assert "failed" in outcome.stdout
            assert "No space left on device" in outcome.stdout
        assert run_here(request_).code == 0, number
        assert bytes_below(request_.output) == expected, number
        shutil.rmtree(request_.output)


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Lets every write beyond a size fail, as the last one on a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("image_format", ["nii.gz", "mha"])
def test_a_write_that_ends_early(request_: Request, image_format: str) -> None:
    request = Request(request_.cohort, request_.bundle, request_.output, (*DETERMINISTIC, "--format", image_format))
    expected = undisturbed(request)
    with no_file_beyond(60):
        outcome = run_here(request)
    assert outcome.code == 1
    log, error = outcome.stderr.splitlines()
    assert log == f"Warning: the log '{request.output / 'run.log'}' is not whole: [Errno 27] File too large"
    assert error.startswith(f"error: '{request.output / 'results.csv'}' cannot be written: File too large; free space")
    assert {path.name for path in request.output.rglob("*") if path.is_file()} == {"run.log"}
    assert run_here(request).code == 0
    assert bytes_below(request.output) == expected


def test_a_log_on_a_full_disk_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_file_beyond(200), log_to(tmp_path / "run.log"):
        for number in range(50):
            logging.getLogger("pipeline").error("line %d", number)
            print("and something printed", file=sys.stderr)
    told = capsys.readouterr().err
    assert told == f"Warning: the log '{tmp_path / 'run.log'}' is not whole: [Errno 27] File too large\n"
    assert "line 0" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("table", ["results.csv", "measurements.csv", "run.json", "index.html"])
def test_a_table_that_cannot_be_written(
    run: Callable[..., RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    original = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if Path(target).name == table:
            raise OSError(30, "Read-only file system")
        return original(self, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", replace)
        with pytest.raises(OutputError, match=rf"{table}' cannot be written: Read-only"):
            run(report=True)
    assert not list((tmp_path / "out").rglob(".partial-*"))
    again = run(report=True)
    assert not again.failed
    if table != "run.json":  # without which no case is touched
        assert again.reused == {"ill", "well"}


def test_a_case_whose_files_cannot_be_made_does_not_stop_the_others(
    run: Callable[..., RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if Path(target).name == "ill.nii.gz":
            raise PermissionError(13, "Permission denied")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    (failed,) = run().failed
    assert failed.case_id == "ill"
    assert failed.error is not None
    assert failed.error.endswith("cannot be written: Permission denied; change the permissions of its folder")
    assert {path.name for path in (tmp_path / "out" / "detection_maps").iterdir()} == {"well.nii.gz"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not write here")
def test_an_output_that_may_not_be_written(tmp_path: Path) -> None:
    """Root may write anywhere: somebody else asks, who may go to `/tmp` at least."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        assert apart(refusals_of_somebody_else, folder)[1] == [
            f"output '{folder}' cannot be written; give another folder or change its permissions",
            f"output '{folder}/new' cannot be made (Permission denied); give another folder",
            f"'{folder}' cannot be written (Permission denied); give another folder, or change its permissions",
        ]


def refusals_of_somebody_else(folder: str) -> list[str]:
    """Asks for an output folder, and for its lock, as a user who may not write there."""
    os.setuid(65534)
    told = []
    for path in (Path(folder), Path(folder) / "new"):
        with pytest.raises(RequestError) as refused:
            OutputFolder(path)
        told.append(str(refused.value))
    with pytest.raises(RequestError) as refused, locked(Path(folder)):
        pass
    return [*told, str(refused.value)]


class AtPhase(SilentObserver):
    """Does something when a case enters a phase."""

    def __init__(self, case_id: str, phase: str, act: Callable[[], Any]) -> None:
        self._at, self._act = (case_id, phase), act

    def phase(self, case_id: str, phase: str) -> None:
        """Does it."""
        if (case_id, phase) == self._at:
            self._act()


def test_an_output_that_is_removed_ends_the_run(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(OutputGoneError, match="out' was removed or replaced while it was written to; nothing more"):
        run(observer=AtPhase("well", "predict", lambda: shutil.rmtree(output)))
    assert not (output / "results.csv").exists()
    assert run().complete


def test_two_runs_into_one_folder(request_: Request) -> None:
    with locked(request_.output):
        outcome = run_here(request_)
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"error: '{request_.output}' is in use by this very process; wait until ")
    assert outcome.stderr.count("\n") == 1
    assert not (request_.output / "cases").exists()
    assert run_here(request_).code == 0
    assert not (request_.output / LOCK_NAME).exists()


def test_what_a_killed_run_has_left_half_written_goes(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    folders = ("", "cases", "detection_maps", "detection_maps_by_class/PDAC", "report/cases", "dicom/ill")
    for name in folders:
        (tmp_path / "out" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name / ".partial-x.json").write_text("{")
    run()
    assert not list((tmp_path / "out").rglob(".partial-*"))


@pytest.mark.parametrize("where", ["read", "predict", "write"])
def test_no_memory_is_that_case_alone(
    run: Callable[..., RunSummary], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Hungry(FakePredictor):
        def predict(self, roi: Volume, /) -> FakePrediction:
            if where == "predict" and (roi.array >= 200).any():
                raise MemoryError("Unable to allocate 9 GiB")
            return super().predict(roi)

    def hungry(original: Callable[..., Any], at: int) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            if "ill" in str(arguments[at]):
                raise MemoryError("Unable to allocate 9 GiB")
            return original(*arguments)

        return function

    if where == "read":
        from ctcore.files import read_ct

        monkeypatch.setattr("ctcore.cts.read_ct", hungry(read_ct, 0))
    if where == "write":
        monkeypatch.setattr(OutputFolder, "write_maps", hungry(OutputFolder.write_maps, 1))
    summary = run(Stages(FakeLocalizer(), Hungry()))
    assert [(record.case_id, record.error) for record in summary.failed] == [
        ("ill", "out of memory: Unable to allocate 9 GiB; end other programs, or limit what is computed with --max-ram")
    ]
    assert summary.complete


def run_in_little_memory(request: Request) -> Any:
    """Runs with no more address space than this process has, and 300 MiB."""
    run_here(request)  # all that is imported and allocated once
    shutil.rmtree(request.output)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 20), resource.RLIM_INFINITY))
    write_big = Request(request.cohort.parent / "with-big", request.bundle, request.output, request.options)
    return run_here(write_big)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is read from /proc")
def test_a_case_that_does_not_fit_the_memory(request_: Request) -> None:
    """A CT of 1 GiB that is a small file, between two others, in a process that may not have so much."""
    folder = request_.cohort.parent / "with-big"
    shutil.copytree(request_.cohort, folder)
    one = np.array([[[-1000, 40]]], np.int16)
    write(Volume(one, Geometry((1, 1, 2), (1.0, 1.0, 1.0))), folder / "one.nii.gz")
    big = folder / "k_big.nii.gz"
    _pad_nifti(folder / "one.nii.gz", big, (512, 1024, 1024))
    (folder / "one.nii.gz").unlink()
    code, outcome = apart(run_in_little_memory, request_)
    assert code == 0
    assert outcome.code == 1, outcome.stdout + outcome.stderr
    assert "2 done, 1 failed" in outcome.stdout
    record = json.loads((request_.output / "cases" / "k_big.json").read_text())
    assert record["status"] == "failed"
    assert "Traceback" not in outcome.stdout + outcome.stderr


def _pad_nifti(source: Path, target: Path, shape: tuple[int, int, int]) -> None:
    """Writes a NIfTI file of zeros, but for the first two voxels, without making its voxels."""
    import gzip
    import struct

    header = bytearray(gzip.decompress(source.read_bytes()))
    struct.pack_into("=3h", header, 42, *reversed(shape))
    with gzip.open(target, "wb", compresslevel=1) as file:
        file.write(bytes(header))
        left = 2 * int(np.prod(shape)) - 4
        block = bytes(1 << 24)
        while left:
            left -= file.write(block[:left])


def test_clock_jumps_change_nothing(
    run: Callable[..., RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock goes back a year in every call; files are from a future that never comes."""
    now = [2e9]

    def back() -> float:
        now[0] -= 3e7
        return now[0]

    monkeypatch.setattr(time, "time", back)
    monkeypatch.setattr(time, "time_ns", lambda: int(back() * 1e9))
    assert not run().failed
    for path in (tmp_path / "out").rglob("*.json"):
        os.utime(path, (2**33, 2**33))
    assert run().reused == {"ill", "well"}
    assert all(seconds >= 0 for record in run().records for seconds in record.seconds.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_order(request_: Request, number: signal.Signals) -> None:
    """The case that is computed is given up; those before are kept, the tables speak of them."""

    class Stopping(FakePredictor):
        def predict(self, roi: Volume, /) -> FakePrediction:
            if self.predicted == 1:
                os.kill(os.getpid(), number)
                time.sleep(1)
            return super().predict(roi)

    before = signal.getsignal(signal.SIGTERM)
    outcome = run_here(request_, Stages(FakeLocalizer(), Stopping()))
    assert signal.getsignal(signal.SIGTERM) is before
    assert outcome.code == 130
    assert "Stopped. What is written is whole; the same command goes on with the rest." in outcome.stdout
    assert outcome.stderr == ""
    assert not complete(request_.output)
    assert len((request_.output / "results.csv").read_text().splitlines()) == 2
    assert run_here(request_).code == 0
    assert complete(request_.output)


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"max_ram": 1 << 40}, "--max-ram chooses by what the machine is doing"),
        ({"dicom_output": True}, "--dicom-output makes identifiers and dates of its own"),
    ],
)
def test_what_never_is_deterministic_is_refused(
    run: Callable[..., RunSummary], limits: dict[str, Any], part: str
) -> None:
    with pytest.raises(RequestError, match=f"{part}; leave it or --deterministic out"):
        run(deterministic=True, **limits)


def test_deterministic_output_tells_no_times(request_: Request) -> None:
    request = Request(request_.cohort, request_.bundle, request_.output, ("--deterministic",))
    expected = undisturbed(request)
    assert run_here(request).code == 0
    assert run_here(request).code == 0  # kept, and told as if it had been computed now
    assert bytes_below(request.output) == expected
    told = json.loads(expected["run.json"])
    assert (told["started"], told["wall_seconds"], told["phase_seconds"]) == (None, None, {})
    assert told["execution"]["threads"] == 1
    assert [(case["reused"], case["seconds"]) for case in told["cases"]] == [(None, None)] * 2
    assert expected["results.csv"].decode().splitlines()[1].endswith(",")

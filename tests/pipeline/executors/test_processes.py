"""Real processes that compute: the same results, and what happens when one of them, or the first one, is killed."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ctcore.errors import BundleError, PipelineError, RequestError
from ctcore.files import CaseFile
from ctcore.inference.backends.choose import Execution
from pipeline.bundle import Bundle
from pipeline.case_runner import RunContext
from pipeline.executors import processes
from pipeline.executors.job import Job
from pipeline.executors.processes import in_processes
from pipeline.executors.work import Executor, Work, in_this_process
from pipeline.observer import SilentObserver
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions
from pipeline.run import RunSummary, run_cohort
from tests.apart import APART
from tests.pipeline.executors import fake_run

DETERMINISTIC = RunOptions(deterministic=True, report=False)


FORKED = SimpleNamespace(Pipe=APART.Pipe, Process=APART.Process, set_forkserver_preload=lambda names: None)
"""The tests' one fork server, with the modules that it has."""


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other modules, asked for first, would slow all other tests of this process."""
    monkeypatch.setattr(processes, "_CONTEXT", FORKED)


@pytest.fixture
def cts(tmp_path: Path, make_ct: Callable[..., Path]) -> Path:
    """A folder of six CTs, every other with a lesion."""
    folder = tmp_path / "cts"
    for number in range(6):
        make_ct(folder / f"case{number}.nii.gz", lesion=number % 2 == 0)
    return folder


@pytest.fixture
def run(cts: Path, bundle: Bundle, execution: Execution) -> Callable[..., RunSummary]:
    """Returns a function that runs the CTs into a folder."""

    def runner(output: Path, executor: Executor, load: Any = fake_run.load) -> RunSummary:
        folder = OutputFolder(output)
        return run_cohort(cts, folder, bundle, execution, DETERMINISTIC, load=load, executor=executor)

    return runner


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of every file but the log."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.log")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_two_processes_leave_the_bytes_of_one(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    one = run(tmp_path / "one", in_this_process)
    two = run(tmp_path / "two", partial(in_processes, workers=2))
    assert two == one
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert len(one.records) == 6


def test_a_killed_worker_loses_nothing(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    load = partial(fake_run.load, deadly=True, once=tmp_path / "killed")
    summary = run(tmp_path / "out", partial(in_processes, workers=2), load)
    assert (tmp_path / "killed").exists()
    assert [record.status for record in summary.records] == ["done"] * 6
    run(tmp_path / "one", in_this_process)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_cases_that_kill_their_workers_fail_alone(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    summary = run(tmp_path / "out", partial(in_processes, workers=2), partial(fake_run.load, deadly=True))
    assert {record.case_id for record in summary.failed} == {"case1", "case3", "case5"}
    assert all("3 workers have ended" in str(record.error) for record in summary.failed)
    assert summary.complete


def test_networks_that_cannot_be_loaded_end_the_run(run: Callable[..., RunSummary], tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such network"):
        run(tmp_path / "out", partial(in_processes, workers=2), fake_run.load_nothing)


def drive(cts: Path, output: Path, bundle: Bundle, execution: Execution) -> None:
    """Runs slowly, in a process that will be killed."""
    processes._CONTEXT = FORKED  # type: ignore[assignment]
    load = partial(fake_run.load, seconds=0.4)
    executor = partial(in_processes, workers=2)
    run_cohort(cts, OutputFolder(output), bundle, execution, DETERMINISTIC, load=load, executor=executor)


def children_of(pid: int) -> set[int]:
    """Returns the processes that a process has started."""
    return {int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()}


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_workers_end_with_the_process_that_started_them(
    cts: Path, bundle: Bundle, execution: Execution, run: Callable[..., RunSummary], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    driver = APART.Process(target=drive, args=(cts, output, bundle, execution))
    driver.start()
    wait_for(lambda: len(list((output / "cases").glob("[!.]*.json"))) >= 2)
    workers = children_of(driver.pid or 0)
    assert workers
    finished = {path: path.stat().st_mtime_ns for path in (output / "cases").glob("[!.]*.json")}
    os.kill(driver.pid or 0, signal.SIGKILL)
    driver.join()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    summary = run(output, partial(in_processes, workers=2))
    assert summary.reused >= {path.stem for path in finished}
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # nothing was computed twice
    run(tmp_path / "one", in_this_process)
    assert contents(output) == contents(tmp_path / "one")


@pytest.fixture
def job(tmp_path: Path, bundle: Bundle, execution: Execution) -> Job:
    """A job as it is sent."""
    context = RunContext(OutputFolder(tmp_path / "out"), bundle, execution, DETERMINISTIC)

    def ignore(record: CaseRecord) -> None:
        del record

    work = Work(context, fake_run.load, lambda: None, ignore, SilentObserver())
    return Job.of(work, [CaseFile("case0", tmp_path / "case0.nii.gz")])


def open_job(job: Job) -> None:
    with job.opened(SilentObserver()):
        pass


def test_a_worker_with_other_versions_is_refused(job: Job) -> None:
    open_job(job)
    old = dataclasses.replace(job, versions=job.versions | {"scipy": "0.1"})
    with pytest.raises(RequestError, match=r"a worker has scipy \d.*, the run has 0\.1; install the same versions"):
        open_job(old)


def test_a_worker_with_another_bundle_is_refused(job: Job) -> None:
    other = dataclasses.replace(job, bundle=dataclasses.replace(job.bundle, digest="0" * 64))
    with pytest.raises(RequestError, match=r"a worker has another bundle at .* than the run"):
        open_job(other)
    gone = dataclasses.replace(job, bundle=dataclasses.replace(job.bundle, folder=Path("/nowhere/bundle")))
    with pytest.raises(BundleError, match="'/nowhere/bundle' is not a folder"):
        open_job(gone)


@pytest.mark.parametrize("what", ["input", "output", "here"])
def test_a_worker_that_does_not_see_a_folder_is_refused(job: Job, what: str) -> None:
    nowhere: dict[str, Any] = {what: Path("/nowhere/shared")}
    words = "folder that the command was called in," if what == "here" else what
    with pytest.raises(RequestError, match=rf"a worker does not see the {words} '/nowhere/shared'"):
        open_job(dataclasses.replace(job, **nowhere))


def test_a_worker_that_cannot_compute_so_is_refused(job: Job) -> None:
    with pytest.raises(RequestError, match="device 'cuda:77' is not there"):
        open_job(dataclasses.replace(job, execution=Execution("cuda:77", "torch", "fp16")))


def test_relative_paths_begin_where_the_command_was_called(
    job: Job, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    inside = dataclasses.replace(bundle, folder=Path(bundle.folder.name))
    moved = dataclasses.replace(job, here=bundle.folder.parent, input=inside.folder, bundle=inside)
    open_job(moved)
    assert Path.cwd() == Path("/")


def test_workers_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch, job: Job, bundle: Bundle, tmp_path: Path) -> None:
    seats: list[tuple[frozenset[int], str | None]] = []
    monkeypatch.setattr(processes, "ProcessSeat", lambda job, cores, gpu: seats.append((cores, gpu)))
    monkeypatch.setattr(processes, "dispatch", lambda cases, work, seats: 0.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    context = RunContext(OutputFolder(tmp_path / "out"), bundle, Execution("cuda:0", "torch", "fp16"), DETERMINISTIC)
    work = Work(context, fake_run.load, lambda: None, lambda record: None, SilentObserver())
    cases = [CaseFile(str(number), tmp_path / f"{number}.nii.gz") for number in range(9)]
    in_processes(cases, work, workers=3)
    assert [gpu for _, gpu in seats] == ["4", "6", "4"]
    seats.clear()
    in_processes(cases, work, workers=3, every_gpu=False)
    assert [gpu for _, gpu in seats] == [None] * 3


def test_a_worker_has_the_environment_that_it_is_given(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    here, there = multiprocessing.Pipe()
    monkeypatch.setattr(processes, "end_with_parent", lambda: None)
    before = signal.getsignal(signal.SIGINT)
    here.close()
    with mock.patch.dict(os.environ):
        with pytest.raises(OSError, match="Broken pipe"):
            processes.serve(there, job, frozenset(), {"CUDA_VISIBLE_DEVICES": "6"})
        assert dict(os.environ) == {"CUDA_VISIBLE_DEVICES": "6"}  # whatever the process that forked it has
    signal.signal(signal.SIGINT, before)

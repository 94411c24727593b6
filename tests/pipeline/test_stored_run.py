"""Runs from and to object storage: the bytes of a run on a disk, whatever computes; resumed; a line for each fault."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ctcore import lease as leases
from ctcore.cts import find_cts
from ctcore.errors import FolderInUseError, OutputGoneError, RequestError
from ctcore.inference.backends.choose import Execution
from ctcore.lease import LEASE_NAME
from ctcore.object_store import ObjectFolder, Place
from ctcore.ray_cluster import RayRequest
from pipeline.bundle import Bundle
from pipeline.case_runner import RunContext
from pipeline.executors.job import Job
from pipeline.executors.processes import in_processes
from pipeline.executors.ray_actors import on_ray
from pipeline.executors.work import Executor, Work, in_this_process
from pipeline.merge import merge
from pipeline.observer import SilentObserver
from pipeline.records import CaseRecord, RunOptions
from pipeline.run import RunSummary, run_cohort
from pipeline.shards import Shard
from pipeline.stored_output import opened_output
from tests.apart import APART
from tests.object_server import ObjectServer
from tests.pipeline.executors import fake_run
from tests.pipeline.executors.test_processes import wait_for
from tests.pipeline.stub_run import command_here

CASES = [f"case{number}" for number in range(4)]
DETERMINISTIC = RunOptions(deterministic=True, report=False)
VERSION = re.compile(rb', input_version \w+|"input_version": (null|"\w+")')
"""What records and pages say of what object storage calls the content of a CT."""


@pytest.fixture
def disk(tmp_path: Path, make_ct: Callable[..., Path]) -> Path:
    """A folder of four CTs, every other with a lesion; object storage has no times either."""
    folder = tmp_path / "cts"
    for number, case_id in enumerate(CASES):
        os.utime(make_ct(folder / f"{case_id}_0000.nii.gz", lesion=number % 2 == 0), ns=(0, 0))
    return folder


@pytest.fixture
def cts(disk: Path, object_server: ObjectServer) -> ObjectFolder:
    """The same on object storage."""
    folder = object_server.new_bucket() / "cts"
    object_server.put(folder, {path.name: path.read_bytes() for path in disk.iterdir()})
    return folder


@pytest.fixture
def results(cts: ObjectFolder) -> ObjectFolder:
    """Where results go."""
    return cts.parent / "results"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files, empty; of processes that are started, too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


Run = Callable[..., RunSummary]


@pytest.fixture
def run(bundle: Bundle, execution: Execution) -> Run:
    """Returns a function that runs CTs into a folder."""

    def runner(
        source: Place,
        target: Place,
        executor: Executor = in_this_process,
        load: Any = fake_run.load,
        options: RunOptions = DETERMINISTIC,
        **further: Any,
    ) -> RunSummary:
        with opened_output(target) as folder:
            return run_cohort(source, folder, bundle, execution, options, load=load, executor=executor, **further)

    return runner


def same(contents: dict[str, bytes], source: Place, *, told: bool = True) -> dict[str, bytes]:
    """Returns files without logs; where the CTs lay is left out of them unless they are `told` as they are."""
    files = {name: content for name, content in contents.items() if not name.endswith(".log")}
    place = str(source).encode()
    return files if told else {name: VERSION.sub(b"", text).replace(place, b"") for name, text in files.items()}


def on_disk(folder: Path) -> dict[str, bytes]:
    """Returns every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_of_a_run_on_a_disk(
    run: Run, disk: Path, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, tmp_path: Path,
    temporary: Path,
) -> None:  # fmt: skip
    options = RunOptions(deterministic=True)
    here = run(disk, tmp_path / "out", options=options)
    there = run(cts, results, options=options)
    assert [record.case_id for record in there.records] == CASES
    assert not there.failed
    assert [record.score for record in here.records] == [record.score for record in there.records]
    expected = same(on_disk(tmp_path / "out"), disk, told=False)
    found = object_server.contents(results)
    assert "report/cases/case0.html" in expected
    assert "segmentations/itk-snap-labels.txt" in expected
    assert same(found, cts, told=False) == expected
    version = object_server.client.head_object(Bucket=cts.parent.path, Key="cts/case0_0000.nii.gz")["ETag"].strip('"')
    assert json.loads(found["cases/case0.json"])["made_with"]["input_version"] == version
    assert not any(b"not-so-secret" in content for content in found.values())
    assert list(temporary.iterdir()) == []


class Looking(SilentObserver):
    """Looks, whenever a case has ended, for what of it is left in the place for temporary files."""

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary
        self.left: list[list[Path]] = []

    def finished(self, record: CaseRecord) -> None:
        self.left.append(list(self._temporary.glob(f"*/output/**/{record.case_id}.*")))


def test_finished_cases_leave_the_disk(run: Run, cts: ObjectFolder, results: ObjectFolder, temporary: Path) -> None:
    looking = Looking(temporary)
    run(cts, results, observer=looking)
    run(cts, results, observer=looking, options=DETERMINISTIC.model_copy(update={"overwrite": True}))
    assert looking.left == [[]] * 2 * len(CASES)


def test_two_processes_leave_the_bytes_of_one(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, temporary: Path
) -> None:
    run(cts, results)
    other = cts.parent / "other"
    assert not run(cts, other, partial(in_processes, workers=2)).failed
    assert same(object_server.contents(other), cts) == same(object_server.contents(results), cts)
    assert list(temporary.glob("ct-lesion-pipeline-*")) == []  # workers are killed


@pytest.mark.slow
def test_two_actors_leave_the_bytes_of_one_process(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, ray_cluster: str
) -> None:
    run(cts, results)
    other = cts.parent / "other"
    assert not run(cts, other, partial(on_ray, request=RayRequest(ray_cluster, workers=2))).failed
    assert same(object_server.contents(other), cts) == same(object_server.contents(results), cts)


def test_what_a_worker_has_to_reach(
    cts: ObjectFolder, results: ObjectFolder, bundle: Bundle, execution: Execution, object_server: ObjectServer
) -> None:
    with opened_output(results) as folder:
        context = RunContext(folder, bundle, execution, DETERMINISTIC)
        work = Work(context, fake_run.load, lambda: None, lambda record: None, SilentObserver())
        job = dataclasses.replace(Job.of(work, find_cts(cts).cases), here=Path("/nowhere"))
    assert (job.input, job.output) == (cts, results)
    with job.opened(SilentObserver()) as (runner, _):
        record = runner.run(find_cts(cts / "case0_0000.nii.gz").cases[0])
    assert record.status == "done"
    object_server.fault = lambda method, path: 403
    with (
        pytest.raises(RequestError, match=rf"^on a worker's machine '{cts}' cannot be read: access is denied"),
        job.opened(SilentObserver()),
    ):
        pass


def test_shards_and_their_merging(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, tmp_path: Path
) -> None:
    run(cts, results)
    shards = [results.parent / "shard-1", results.parent / "shard-2"]
    for number, shard in enumerate(shards, start=1):
        run(cts, shard, shard=Shard(number, 2))
    merged, local = results.parent / "merged", tmp_path / "merged"
    merge(shards, merged)
    merge(shards, local)
    expected = same(object_server.contents(results), cts)
    assert same(object_server.contents(merged), cts) == expected
    assert same(on_disk(local), cts) == expected
    with pytest.raises(RequestError, match=r"holds no run.json; give folders that 'pipeline run --shard' has written"):
        merge([results.parent / "nothing", shards[0]], merged)


def test_finished_cases_are_kept_and_changed_cts_computed(
    run: Run, disk: Path, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer
) -> None:
    run(cts, results)
    before = same(object_server.contents(results), cts)
    results.write(".partial-of-a-killed-run", b"")
    object_server.requests.clear()
    assert run(cts, results).reused == set(CASES)
    assert same(object_server.contents(results), cts) == before
    assert not any(method == "PUT" and "/cases/case" in path for method, path in object_server.requests)
    object_server.put(cts, {"case1_0000.nii.gz": (disk / "case0_0000.nii.gz").read_bytes()})
    results.remove(["segmentations/case2.nii.gz"])
    again = run(cts, results)
    assert again.reused == {"case0", "case3"}
    assert again.records[1].score == again.records[0].score
    assert same(object_server.contents(results), cts).keys() == before.keys()
    plain = run(cts, results, options=DETERMINISTIC.model_copy(update={"segmentations": False}))
    assert plain.reused == set()
    assert not any(name.startswith("segmentations/") for name in object_server.contents(results))


def drive(cts: ObjectFolder, results: ObjectFolder, bundle: Bundle, execution: Execution, variables: Any) -> None:
    """Runs slowly, in a process that will be killed."""
    os.environ.update(variables)
    leases.LEASE_SECONDS = 15.0  # what a busy machine needs to renew it
    with opened_output(results) as folder:
        run_cohort(
            cts, folder, bundle, execution, DETERMINISTIC, load=partial(fake_run.load, seconds=1.0),
            executor=in_this_process,
        )  # fmt: skip


@pytest.mark.slow
def test_killed_and_started_again(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, bundle: Bundle,
    execution: Execution, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(leases, "SETTLING_SECONDS", 0.1)
    run(cts, results)
    other = results.parent / "other"
    driver = APART.Process(target=drive, args=(cts, other, bundle, execution, object_server.variables))
    driver.start()
    wait_for(lambda: sum(name.startswith("cases/") for name in other.names()) >= 2, 180)
    os.kill(driver.pid or 0, signal.SIGKILL)
    driver.join()
    left = object_server.contents(other)
    records = [name for name in left if name.startswith("cases/")]
    assert records
    assert "results.csv" not in left
    assert LEASE_NAME in left
    for name in records:
        case_id = Path(name).stem
        assert {f"detection_maps/{case_id}.nii.gz", f"segmentations/{case_id}.nii.gz"} <= left.keys()
    object_server.requests.clear()
    summaries: list[RunSummary] = []

    def started_again() -> bool:
        try:
            summaries.append(run(cts, other))
        except FolderInUseError:
            return False
        return True

    wait_for(started_again)
    assert {f"cases/{case_id}.json" for case_id in summaries[0].reused} == set(records)
    written = [
        path.rpartition("/")[2] for method, path in object_server.requests if method == "PUT" and "/cases/" in path
    ]
    assert sorted(name for name in written if name.endswith(".json")) == sorted(
        f"{case_id}.json" for case_id in CASES if f"cases/{case_id}.json" not in records
    )
    assert same(object_server.contents(other), cts) == same(object_server.contents(results), cts)


@pytest.mark.parametrize("what", ["detection_maps/case1", "segmentations/case1", "cases/case1.json"])
def test_an_upload_that_fails_leaves_no_record(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, what: str
) -> None:
    run(cts, results)
    refused: list[str] = []

    def fault(method: str, path: str) -> int | None:
        if method == "PUT" and f"/results/{what}" in path and not refused:
            refused.append(path)
            return 403
        return None

    object_server.fault = fault
    summary = run(cts, results, options=DETERMINISTIC.model_copy(update={"overwrite": True}))
    assert refused
    assert [record.case_id for record in summary.failed] == ["case1"]
    assert "access is denied" in str(summary.failed[0].error)
    left = object_server.contents(results)
    assert json.loads(left["cases/case1.json"])["status"] == "failed"
    assert [name for name in left if "case1" in name] == ["cases/case1.json"]
    assert run(cts, results).reused == {"case0", "case2", "case3"}


def test_a_store_that_is_gone_ends_the_run(
    run: Run, cts: ObjectFolder, results: ObjectFolder, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2.0)

    def fault(method: str, path: str) -> int | None:
        return 403 if gone or (method == "PUT" and "/cases/case1.json" in path and not gone.append(path)) else None  # type: ignore[func-returns-value]

    gone: list[str] = []
    object_server.fault = fault
    with pytest.raises(OutputGoneError, match=r"lease of output 's3://.*' could not be renewed for 2 s"):
        run(cts, results, load=partial(fake_run.load, seconds=1.5))
    object_server.reset()
    left = object_server.contents(results)
    assert "cases/case0.json" in left
    assert "cases/case1.json" not in left
    assert "results.csv" not in left
    assert json.loads(left["run.json"])["complete"] is False


def test_an_input_that_is_gone_fails_its_cases(
    run: Run, cts: ObjectFolder, object_server: ObjectServer, tmp_path: Path
) -> None:
    object_server.fault = lambda method, path: 403 if method == "GET" and path.endswith("case2_0000.nii.gz") else None
    summary = run(cts, tmp_path / "out")
    assert [record.case_id for record in summary.failed] == ["case2"]
    assert summary.failed[0].error == (
        "'case2_0000.nii.gz' cannot be read: access is denied; check the credentials, and what they may do there"
    )


def command(cohort: Place, bundle: Bundle, output: Place, *options: str) -> tuple[int, str, str]:
    """Runs the command; returns exit code, stdout and stderr."""
    places = ("--input", str(cohort), "--output", str(output), "--bundle", str(bundle.folder))
    done = command_here(["run", *places, "--no-report", "--deterministic", *options])
    return done.code, done.stdout, done.stderr


def test_the_command_says_where_results_are(cts: ObjectFolder, results: ObjectFolder, bundle: Bundle) -> None:
    code, out, err = command(cts, bundle, results)
    assert (code, err) == (0, "")
    assert f"Results: {results}/results.csv\nDetection maps: {results}/detection_maps\n" in out
    assert "run.log" in results.names()


@pytest.mark.parametrize(
    "fault", ["no rights", "no rights to write", "no bucket", "no server", "in use", "its own maps", "secret"]
)
def test_wrong_requests_are_one_line(
    cts: ObjectFolder, results: ObjectFolder, bundle: Bundle, object_server: ObjectServer, fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source: Place = cts
    if fault == "no rights":
        object_server.fault, expected = lambda method, path: 403, f"'{cts}' cannot be read: access is denied"
    elif fault == "no rights to write":
        object_server.fault = lambda method, path: 403 if method == "PUT" else None
        expected = f"'{results}' cannot be written: access is denied"
    elif fault == "no bucket":
        results, expected = (
            ObjectFolder("s3", "nowhere/results"),
            "'s3://nowhere/results' cannot be written: there is no",
        )
    elif fault == "no server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        expected = f"'{cts}' cannot be read: the store does not answer; check the network, and AWS_ENDPOINT_URL"
    elif fault == "in use":
        results.write(LEASE_NAME, json.dumps({"holder": "process 7 on 'there'", "seconds": 60}).encode())
        expected = f"'{results}' is in use by process 7 on 'there'; if that was killed, its lease runs out at "
    elif fault == "its own maps":
        source = results / "detection_maps"
        object_server.put(results, {"detection_maps/a.nii.gz": b"x"})
        expected = f"input '{source}' lies where this run would write its maps; give another --output"
    else:
        results, expected = ObjectFolder("s3", "me:geheim@bucket/x"), "holds a user, a password or a signature"
    code, _, err = command(source, bundle, results)
    assert code == 2
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1
    assert "geheim" not in err

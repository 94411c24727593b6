"""A real Ray cluster of two cores on this machine: the same bytes, lost actors, requests that it cannot serve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import PipelineError, RequestError
from ctcore.inference.backends.choose import Execution, resolve
from ctcore.ray_cluster import RayRequest
from pipeline.bundle import Bundle
from pipeline.executors.ray_actors import on_ray, resolve_there
from pipeline.executors.work import Executor, in_this_process
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from tests.pipeline.executors import fake_run
from tests.pipeline.executors.test_processes import contents

DETERMINISTIC = RunOptions(deterministic=True, report=False)


Run = Callable[..., RunSummary]


@pytest.fixture
def run(tmp_path: Path, make_ct: Callable[..., Path], bundle: Bundle, execution: Execution) -> Run:
    """Returns a function that runs six CTs, every other with a lesion, into a folder."""
    cts = tmp_path / "cts"
    for number in range(6):
        make_ct(cts / f"case{number}.nii.gz", lesion=number % 2 == 0)

    def runner(output: Path, executor: Executor, load: Any = fake_run.load) -> RunSummary:
        folder = OutputFolder(output)
        return run_cohort(cts, folder, bundle, execution, DETERMINISTIC, load=load, executor=executor)

    return runner


def test_two_actors_leave_the_bytes_of_one_process(ray_cluster: str, run: Run, tmp_path: Path) -> None:
    one = run(tmp_path / "one", in_this_process)
    two = run(tmp_path / "two", partial(on_ray, request=RayRequest(ray_cluster, workers=2)))
    assert two == one
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@pytest.mark.slow
def test_a_killed_actor_loses_nothing(ray_cluster: str, run: Run, tmp_path: Path) -> None:
    load = partial(fake_run.load, deadly=True, once=tmp_path / "killed")
    summary = run(tmp_path / "out", partial(on_ray, request=RayRequest(ray_cluster)), load)
    assert (tmp_path / "killed").exists()
    assert [record.status for record in summary.records] == ["done"] * 6
    run(tmp_path / "one", in_this_process)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


@pytest.mark.slow
def test_cases_that_kill_their_actors_fail_alone(ray_cluster: str, run: Run, tmp_path: Path) -> None:
    summary = run(
        tmp_path / "out", partial(on_ray, request=RayRequest(ray_cluster)), partial(fake_run.load, deadly=True)
    )
    assert {record.case_id for record in summary.failed} == {"case1", "case3", "case5"}
    assert summary.complete


@pytest.mark.slow
def test_what_an_actor_cannot_do_ends_the_run(ray_cluster: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such network"):
        run(tmp_path / "out", partial(on_ray, request=RayRequest(ray_cluster)), fake_run.load_nothing)


@pytest.mark.slow
def test_what_the_workers_have_is_settled_there(ray_cluster: str) -> None:
    found = resolve_there(partial(resolve, "cpu", "torch", "fp32"), RayRequest(ray_cluster, cpus=2))
    assert (found, found.threads) == (Execution("cpu", "torch", "fp32"), 2)
    with pytest.raises(RequestError, match="unknown device 'abacus'; use auto, cpu, cuda"):
        resolve_there(partial(resolve, "abacus"), RayRequest(ray_cluster))
    with pytest.raises(RequestError, match=r"has 2 cores and 0 GPUs, a worker needs 1 and 1; ask for less"):
        resolve_there(resolve, RayRequest(ray_cluster, gpus=1.0))


def test_this_machine_settles_for_itself() -> None:
    cpu, gpu = Execution("cpu", "torch", "fp32", 16), Execution("cuda:0", "torch", "fp16")
    assert resolve_there(lambda: cpu, RayRequest(cpus=3)).threads == 3
    assert resolve_there(lambda: gpu, RayRequest(cpus=3)).threads is None
    same = Execution("cpu", "torch", "fp32", 1, deterministic=True)
    assert resolve_there(lambda: same, RayRequest(cpus=3)).threads == 1

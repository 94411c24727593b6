"""A real Ray cluster of two cores on this machine: the same bytes, lost actors, requests that it cannot serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import PipelineError, RequestError
from ctcore.inference.backends.choose import Execution, resolve
from pipeline.bundle import Bundle
from pipeline.executors.ray_actors import on_ray
from pipeline.executors.ray_cluster import RayRequest, resolve_there
from pipeline.executors.work import Executor, in_this_process
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import RunSummary, run_cohort
from tests.pipeline.executors import fake_run
from tests.pipeline.executors.test_processes import contents

ray: Any = pytest.importorskip("ray", reason="Ray, of the extra 'ray', is not installed")

DETERMINISTIC = RunOptions(deterministic=True, report=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two cores."""
    from ray.cluster_utils import Cluster

    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made.address
    made.shutdown()


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


def test_two_actors_leave_the_bytes_of_one_process(cluster: str, run: Run, tmp_path: Path) -> None:
    one = run(tmp_path / "one", in_this_process)
    two = run(tmp_path / "two", partial(on_ray, request=RayRequest(cluster, workers=2)))
    assert two == one
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert not ray.is_initialized()


def test_a_killed_actor_loses_nothing(cluster: str, run: Run, tmp_path: Path) -> None:
    load = partial(fake_run.load, deadly=True, once=tmp_path / "killed")
    summary = run(tmp_path / "out", partial(on_ray, request=RayRequest(cluster)), load)
    assert (tmp_path / "killed").exists()
    assert [record.status for record in summary.records] == ["done"] * 6
    run(tmp_path / "one", in_this_process)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


@pytest.mark.slow
def test_cases_that_kill_their_actors_fail_alone(cluster: str, run: Run, tmp_path: Path) -> None:
    summary = run(tmp_path / "out", partial(on_ray, request=RayRequest(cluster)), partial(fake_run.load, deadly=True))
    assert {record.case_id for record in summary.failed} == {"case1", "case3", "case5"}
    assert summary.complete


def test_what_an_actor_cannot_do_ends_the_run(cluster: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such network"):
        run(tmp_path / "out", partial(on_ray, request=RayRequest(cluster)), fake_run.load_nothing)


def test_what_the_workers_have_is_settled_there(cluster: str) -> None:
    found = resolve_there(partial(resolve, "cpu", "torch", "fp32"), RayRequest(cluster, cpus=2))
    assert (found, found.threads) == (Execution("cpu", "torch", "fp32"), 2)
    with pytest.raises(RequestError, match="unknown device 'abacus'; use auto, cpu, cuda"):
        resolve_there(partial(resolve, "abacus"), RayRequest(cluster))
    with pytest.raises(RequestError, match=r"has 2 cores and 0 GPUs, a worker needs 1 and 1; ask for less"):
        resolve_there(resolve, RayRequest(cluster, gpus=1.0))

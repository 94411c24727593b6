"""Work on many cases: every item comes back with its own result, and a fault ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from ctcore.datasets.parallel import over_cases
from ctcore.errors import LabelError, RequestError


def square(number: int) -> int:
    return number * number


def process_of(number: int) -> int:
    del number
    return os.getpid()


def mark_or_fail(path: Path) -> None:
    if path.name == "0":
        raise LabelError("case '0' is refused")
    path.touch()


def blas_threads(number: int) -> int:
    np.eye(2) @ np.full((2, 2), number)  # loads the library of matrix products
    return max(int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")


@pytest.mark.parametrize("workers", [1, 2])
def test_matrix_products_take_one_thread(workers: int) -> None:
    assert [threads for _, threads in over_cases(range(2), blas_threads, workers=workers)] == [1, 1]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_item_has_its_result(workers: int) -> None:
    reports: list[tuple[int, int]] = []
    pairs = list(over_cases(range(7), square, workers=workers, progress=lambda *report: reports.append(report)))
    assert sorted(pairs) == [(number, number * number) for number in range(7)]
    assert reports == [(done, 7) for done in range(1, 8)]


def test_processes(tmp_path: Path) -> None:
    assert {process for _, process in over_cases(range(3), process_of)} == {os.getpid()}
    assert os.getpid() not in {process for _, process in over_cases(range(3), process_of, workers=2)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_ends_the_work(tmp_path: Path, workers: int) -> None:
    paths = [tmp_path / str(number) for number in range(500)]
    with pytest.raises(LabelError, match="case '0' is refused"):
        list(over_cases(paths, mark_or_fail, workers=workers))
    assert len(list(tmp_path.iterdir())) < 499  # what had not begun was not done


def test_a_killed_worker() -> None:
    with pytest.raises(RequestError, match="one of 2 workers was killed, most likely for want of memory"):
        list(over_cases([signal.SIGKILL], signal.raise_signal, workers=2))


ORPHANS = """
import os, sys, time
from pathlib import Path
from ctcore.datasets.parallel import over_cases

def wait(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(120)

list(over_cases([sys.argv[1]] * 2, wait, workers=2))
"""


def is_there(process_id: int) -> bool:
    """Whether a process runs: neither gone nor waiting to be taken note of."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    command = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)])
    try:
        while len(list(tmp_path.iterdir())) < 2:
            assert command.poll() is None
            time.sleep(0.05)
    finally:
        command.kill()
        command.wait()
    end = time.monotonic() + 60
    workers = [int(path.name) for path in tmp_path.iterdir()]
    while any(map(is_there, workers)):
        assert time.monotonic() < end, "workers outlive their command"
        time.sleep(0.05)

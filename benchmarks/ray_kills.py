"""Workers, a machine and the driver of a cohort on Ray are killed: nothing is lost, nothing is done twice.

    python -m benchmarks.ray_kills --output work/ray_kills [--cases 60] [--seconds 2]

A cluster of two machines with a core each is started here (processes that stand for machines; each has one worker), and
a third without cores, where the driver connects. While the cohort runs, at random moments: a worker is killed twice, a
machine once (and another one comes), the driver once (and is started again). Afterwards the folder has to be, byte for
byte, what one process leaves; what was begun more often than there are cases was begun again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.executors import OPTIONS, tiny_bundle, tiny_cts
from benchmarks.same import differences
from benchmarks.sleeping import loader
from ctcore.inference.backends.choose import resolve
from ctcore.ray_cluster import RayRequest
from pipeline.executors.ray_actors import on_ray
from pipeline.executors.work import Executor, in_this_process
from pipeline.outputs import OutputFolder
from pipeline.run import run_cohort

MACHINES = 2
PATIENCE_SECONDS = 600.0
ACTOR = b"ray::CaseActor"
SEED = 9601


def drive(output: Path, results: Path, cases: int, seconds: float, executor: Executor) -> int:
    """Runs the cohort; returns how many cases failed."""
    execution = resolve("cpu", deterministic=True)
    bundle = tiny_bundle(output / "tiny")
    load = loader(bundle, execution, seconds, output / f"begun-{results.name}")
    cts = tiny_cts(output / f"cts-{cases}", cases)
    summary = run_cohort(cts, OutputFolder(results), bundle, execution, OPTIONS, load=load, executor=executor)
    return len(summary.failed)


def workers() -> list[int]:
    """Returns the processes of this machine that compute cases for Ray."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(ACTOR):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen in {PATIENCE_SECONDS:g} s")
        time.sleep(0.05)


class Killer:
    """Kills parts of a cluster while a cohort runs there.

    Args:
        cluster: the cluster.
        machines: its machines with workers.
        start: starts the driver.
        done: tells how many cases are finished.
        cases: how many there are.
    """

    def __init__(
        self,
        cluster: Any,
        machines: list[Any],
        start: Callable[[], subprocess.Popen[bytes]],
        done: Callable[[], int],
        cases: int,
    ) -> None:
        self._cluster, self._machines, self._start, self._done, self._cases = cluster, machines, start, done, cases
        self._chance = random.Random(SEED)
        self.processes = 0

    def run(self) -> int:
        """Starts the driver, kills, and returns the exit code of the driver that came to the end."""
        driver = self._start()
        acts = [self._kill_worker, self._kill_machine, self._kill_worker]
        for number, act in enumerate(acts, start=1):
            self._wait_until(number * self._cases // 6)
            act()
        self._wait_until(4 * self._cases // 6)
        lost = len(workers())
        driver.kill()
        driver.wait()
        wait_for(lambda: not workers(), "the end of the driver's workers")
        self.processes += lost
        return self._start().wait()

    def _wait_until(self, cases: int) -> None:
        wait_for(lambda: self._done() >= cases and len(workers()) == MACHINES, f"case {cases}")
        time.sleep(self._chance.uniform(0, 2))

    def _kill_worker(self) -> None:
        os.kill(self._chance.choice(workers()), signal.SIGKILL)
        self.processes += 1

    def _kill_machine(self) -> None:
        self._cluster.remove_node(self._machines.pop(), allow_graceful=False)
        self._machines.append(self._cluster.add_node(num_cpus=1))
        self.processes += 1


def measure(output: Path, cases: int, seconds: float) -> tuple[list[Bound], dict[str, Any]]:
    """Runs the cohort while parts of the cluster are killed."""
    from ray.cluster_utils import Cluster

    alone, killed = output / "alone", output / "killed"
    for folder in (alone, killed):
        shutil.rmtree(folder, ignore_errors=True)
        (output / f"begun-{folder.name}").unlink(missing_ok=True)
    drive(output, alone, cases, 0.0, in_this_process)
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        machines = [cluster.add_node(num_cpus=1) for _ in range(MACHINES)]
        command = [sys.executable, "-m", "benchmarks.ray_kills", "--drive", cluster.address]
        command += ["--output", str(output), "--cases", str(cases), "--seconds", str(seconds)]
        records = killed / "cases"
        killer = Killer(
            cluster,
            machines,
            lambda: subprocess.Popen(command),
            lambda: sum(1 for _ in records.glob("[!.]*.json")),
            cases,
        )
        begin = time.perf_counter()
        code = killer.run()
        wall = time.perf_counter() - begin
    finally:
        cluster.shutdown()
    different = differences(alone, killed)
    begun = (output / "begun-killed").read_text(encoding="utf-8").count("begun")
    bounds = [
        Bound("ray", "exit code of the last driver", code, "equal to", 0),
        Bound("ray", "files that differ from one process's", len(different), "equal to", 0),
        Bound("ray", "cases begun again for each process killed", (begun - cases) / killer.processes, "at most", 1),
    ]
    figures = {"cases begun": begun, "workers killed, with their machine and driver too": killer.processes}
    return bounds, figures | {"seconds": wall, "differences": different}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark, or is its driver; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    output = options.output.resolve()
    if options.drive is not None:
        executor = partial(on_ray, request=RayRequest(options.drive, workers=MACHINES))
        return int(drive(output, output / "killed", options.cases, options.seconds, executor) > 0)
    bounds, figures = measure(output, options.cases, options.seconds)
    print_bounds(bounds)
    print_figures("beside", list(figures.items()))
    return closing(bounds, **figures)


if __name__ == "__main__":
    sys.exit(main())

"""What dividing a cohort brings and costs: workers on this machine, Ray's actors, the memory of a long list.

    python -m benchmarks.executors --output work/executors [--parts cores,sleep,ray,memory] [--repetitions 3]

- cores: two workers with a thread each against one with two, on phantoms and the demonstration bundle, all mirrored
  images (so that a case takes seconds), each by turns from a new process; cases an hour of the whole command.
- sleep: four workers against one where a case sleeps 5 s in place of computing; seconds of the cohort, less loading.
- ray: two actors of a cluster that runs against two processes, where a case sleeps 5 s; seconds of the whole cohort,
  connecting and loading among them.
- memory: what the process that asks for 100,000 cases holds of them, and the tables it writes; each case ends at once
  with the record of one of twelve phantoms that were computed.

Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.sleeping import loader
from benchmarks.tiny import make_patient, write_bundle
from ctcore.cts import FoundCts
from ctcore.files import CaseFile, write
from ctcore.inference.backends.choose import resolve
from ctcore.phantom.cohort import write_cohort
from ctcore.ray_cluster import RayRequest
from pipeline.bundle import DEMO_BUNDLE, Bundle, load_bundle
from pipeline.executors.processes import in_processes
from pipeline.executors.ray_actors import on_ray
from pipeline.executors.work import Executor, Work
from pipeline.memory import peak, resident
from pipeline.outputs import OutputFolder
from pipeline.records import CaseRecord, RunOptions
from pipeline.run import run_cohort

PARTS = ("cores", "sleep", "ray", "memory")
PHANTOMS, PHANTOM_SEED = 12, 9501
SLEEPS, RAY_CASES, SLEEP_SECONDS = 40, 24, 5.0
MANY = 100_000
MIB = 2**20
OPTIONS = RunOptions(deterministic=True, segmentations=False, report=False)
"""Nothing that computes, as far as it can be left out: what untrained networks segment takes 0.6 s to measure."""


def tiny_cts(folder: Path, cases: int) -> Path:
    """Writes boxes that stand for patients; returns their folder."""
    if not folder.is_dir():
        for number in range(cases):
            write(make_patient(number % 6, lesion=bool(number % 2))[0], folder / f"case{number:03d}.nii.gz")
    return folder


def tiny_bundle(folder: Path) -> Bundle:
    """Makes a bundle of untrained networks, where it is not there already."""
    return load_bundle(folder / "bundle") if (folder / "bundle").is_dir() else write_bundle(folder)


def seconds_of_sleepers(output: Path, bundle: Bundle, cases: int, seconds: float, executor: Executor) -> float:
    """Returns the seconds that a cohort of sleepers takes."""
    execution = resolve("cpu", deterministic=True)
    folder = output / "run"
    shutil.rmtree(folder, ignore_errors=True)
    cts = tiny_cts(output / f"cts-{cases}", cases)
    begin = time.perf_counter()
    summary = run_cohort(
        cts,
        OutputFolder(folder),
        bundle,
        execution,
        OPTIONS,
        load=loader(bundle, execution, seconds),
        executor=executor,
    )
    if summary.failed:
        raise RuntimeError(f"case '{summary.failed[0].case_id}' failed: {summary.failed[0].error}")
    return time.perf_counter() - begin


def make_phantoms(output: Path) -> Path:
    """Makes the phantoms, where they are not there already; returns their folder."""
    phantoms = output / f"phantoms-{PHANTOMS}"
    if not phantoms.is_dir():
        write_cohort(phantoms, PHANTOMS, PHANTOM_SEED)
    return phantoms


def measure_cores(output: Path, repetitions: int) -> tuple[list[Bound], dict[str, Any]]:
    """Two workers with a thread each against one with two."""
    phantoms = make_phantoms(output)
    ways = {"one": ["--workers", "1"], "two": ["--workers", "2"]}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repetitions + 1):  # the first one compiles
        for name, options in ways.items():
            seconds[name].append(_command(phantoms / "imagesTr", output / name, options))
        if turn == 0:
            seconds = {name: [] for name in ways}
    ratio = statistics.median(a / b for a, b in zip(seconds["one"], seconds["two"], strict=True))
    bound = Bound("cores", "cases an hour, two workers with a thread over one with two", ratio, "at least", 1.0)
    return [bound], {"seconds of one worker": seconds["one"], "seconds of two": seconds["two"]}


def _command(cts: Path, results: Path, options: Sequence[str]) -> float:
    command = [sys.executable, "-m", "pipeline", "run", "--input", str(cts), "--output", str(results)]
    command += ["--overwrite", "--tta", "--no-report", "--device", "cpu", *options]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure_sleep(output: Path, bundle: Bundle) -> tuple[list[Bound], dict[str, Any]]:
    """Four workers against one where nothing computes."""
    told = {}
    for workers in (1, 4):
        loading: list[float] = []
        executor = _timed(partial(in_processes, workers=workers), loading)
        told[workers] = seconds_of_sleepers(output, bundle, SLEEPS, SLEEP_SECONDS, executor) - loading[0]
    speed_up = told[1] / told[4]
    bound = Bound("sleep", "speed-up of four workers", speed_up, "at least", 3.8)
    return [bound], {f"seconds of {workers}, {SLEEPS} cases": value for workers, value in told.items()}


def _timed(executor: Executor, loading: list[float]) -> Executor:
    """Returns an executor that also tells the seconds until its first worker could begin."""

    def timed(cases: Sequence[CaseFile], work: Work) -> float:
        begin = time.perf_counter()

        def before() -> None:
            loading.append(time.perf_counter() - begin)
            work.before_writing()

        return executor(cases, Work(work.context, work.load, before, work.finished, work.observer, work.chooser))

    return timed


def measure_ray(output: Path, bundle: Bundle, repetitions: int) -> tuple[list[Bound], dict[str, Any]]:
    """Two of Ray's actors against two processes."""
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ways: dict[str, Executor] = {
        "processes": partial(in_processes, workers=2),
        "ray": partial(on_ray, request=RayRequest(cluster.address, workers=2)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for _ in range(repetitions):
            for name, executor in ways.items():
                seconds[name].append(seconds_of_sleepers(output, bundle, RAY_CASES, SLEEP_SECONDS, executor))
    finally:
        cluster.shutdown()
    ratio = statistics.median(a / b for a, b in zip(seconds["ray"], seconds["processes"], strict=True))
    bound = Bound("ray", f"wall time over processes', cases of {SLEEP_SECONDS:g} s", ratio, "at most", 1.05)
    return [bound], {f"seconds with {name}": values for name, values in seconds.items()}


def measure_memory(output: Path) -> tuple[list[Bound], dict[str, Any]]:
    """The memory of a process that has a long list of cases computed."""
    bundle = load_bundle(DEMO_BUNDLE)
    like = real_records(output)
    sizes: list[tuple[int, int]] = []

    def instant(cases: Sequence[CaseFile], work: Work) -> float:
        work.before_writing()
        for number, case in enumerate(cases):
            if number % (MANY // 10) == 0:
                sizes.append((number, resident()))
            work.finished(like[number % len(like)].model_copy(update={"case_id": case.case_id, "image": case.image}))
        sizes.append((len(cases), resident()))
        return 0.0

    names = (f"case{number:06d}" for number in range(MANY))
    found = FoundCts(tuple(CaseFile(name, Path("/nowhere") / f"{name}.nii.gz") for name in names))
    folder = output / "many"
    shutil.rmtree(folder, ignore_errors=True)
    begin = time.perf_counter()
    run_cohort(
        output, OutputFolder(folder), bundle, resolve("cpu"), RunOptions(), load=_nothing, found=found, executor=instant
    )
    after = resident()
    (few, early), (many, late) = sizes[1], sizes[-1]
    bound = Bound(
        "memory", "KiB a case held while they are computed", (late - early) / (many - few) / 1024, "at most", 2
    )
    figures = {
        "MiB before the first case": sizes[0][1] / MIB,
        f"MiB after {MANY} cases": late / MIB,
        "MiB after their tables": after / MIB,
        "MiB at most": peak() / MIB,
        "seconds": time.perf_counter() - begin,
    }
    return [bound], figures


def _nothing() -> Any:
    raise AssertionError("nothing is computed")


def real_records(output: Path) -> list[CaseRecord]:
    """Returns the records of phantoms that the shipped bundle has computed in another process."""
    folder = output / "like"
    if not (folder / "run.json").is_file():
        _command(make_phantoms(output) / "imagesTr", folder, [])
    return [CaseRecord.read(path) for path in sorted((folder / "cases").glob("*.json"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, separated by commas")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args(arguments)
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    tiny = (
        load_bundle(output / "tiny" / "bundle")
        if (output / "tiny" / "bundle").is_dir()
        else write_bundle(output / "tiny")
    )
    ways = {
        "cores": partial(measure_cores, output, options.repetitions),
        "sleep": partial(measure_sleep, output, tiny),
        "ray": partial(measure_ray, output, tiny, options.repetitions),
        "memory": partial(measure_memory, output),
    }
    bounds: list[Bound] = []
    figures: dict[str, Any] = {}
    for part in _parts(options.parts.split(","), parser):
        found, told = ways[part]()
        bounds += found
        figures |= told
    print_bounds(bounds)
    print_figures("beside", list(figures.items()))
    return closing(bounds, **figures)


def _parts(asked: Iterable[str], parser: argparse.ArgumentParser) -> list[str]:
    parts = list(asked)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"part '{unknown[0]}' is none of {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    sys.exit(main())

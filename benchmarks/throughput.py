"""How fast a cohort goes through a cluster that is not here: what a case needs, against what there is of it.

    python -m benchmarks.throughput --output work/throughput [--cases 20000] [--bytes-mb 63] [--gpu-tflops 40]

A case needs a worker for a while, seconds of a core, seconds of a GPU, bytes of the disk that all machines share, and
memory. Each of them allows so many cases a second, and the one that allows the fewest is the bottleneck (the law of
operational analysis: no assumption on how cases arrive; reached where enough cases are under way).

Measured here: the phases of a case with one worker on one core, the demonstration bundle on phantoms; from them the
model foretells two and four workers on this machine's cores, which are then measured. Extrapolated: PANORAMA's networks
on CTs of 512 x 512 x 250 voxels, with the phases around the networks of docs/performance.md; what a GPU computes in a
second is assumed, as none was there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bounds import Bound, closing, print_bounds
from benchmarks.executors import make_phantoms

AROUND_NETWORKS_S = 1.94
"""Seconds of a core around the networks: guided windows, 250 slices, docs/performance.md; 1.09 of them reading."""
CASE_GFLOP = 2 * 947.5 + 232.7
"""Two guided windows of stage 2 and one of stage 1."""
OUTPUT_MB = 1.0
"""What a case leaves: maps, picture, record."""
WORKER_GIB = 2.9
"""A worker with a CT of 800 slices, docs/performance.md."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Needs:
    """What a case needs.

    Attributes:
        core_seconds: of a core.
        gpu_seconds: of a GPU, during which the core waits.
        megabytes: of the shared disk, read and written.
    """

    core_seconds: float
    gpu_seconds: float = 0.0
    megabytes: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """What there is.

    Attributes:
        workers: that compute a case at a time.
        cores: of all machines.
        gpus: of all machines; 0: cores compute.
        disk_mb_s: megabytes a second of the shared disk; None: of no concern.
        memory_gib: of all machines; None: of no concern.
    """

    workers: int
    cores: int
    gpus: int = 0
    disk_mb_s: float | None = None
    memory_gib: float | None = None


def foretell(needs: Needs, cluster: Cluster) -> tuple[float, str]:
    """Returns cases a second, and what allows no more."""
    workers = cluster.workers
    if cluster.memory_gib is not None:
        workers = min(workers, int(cluster.memory_gib / WORKER_GIB))
    allowed = {
        "workers": workers / (needs.core_seconds + needs.gpu_seconds),
        "cores": cluster.cores / needs.core_seconds,
    }
    if cluster.gpus:
        allowed["GPUs"] = cluster.gpus / needs.gpu_seconds
    if cluster.disk_mb_s is not None:
        allowed["the shared disk"] = cluster.disk_mb_s / needs.megabytes
    name = min(allowed, key=lambda key: allowed[key])
    if name == "workers" and workers < cluster.workers:
        name = "memory"
    return allowed[name], name


def measure(output: Path) -> tuple[list[Bound], Needs]:
    """Fits the model on one worker on one core, and checks it on two and four workers."""
    phantoms = make_phantoms(output)
    cores = sorted(os.sched_getaffinity(0))
    seconds(phantoms, output / "run", 1, cores)  # compiles
    alone, per_case = seconds(phantoms, output / "run", 1, cores[:1])
    needs = Needs(core_seconds=per_case)
    print(f"one worker on one core: {per_case:.2f} s a case, {alone:.2f} s by the clock")
    bounds = []
    for workers in (2, 4):
        rate, name = foretell(needs, Cluster(workers=workers, cores=len(cores)))
        clock, _ = seconds(phantoms, output / "run", workers, cores)
        print(f"{workers} workers: {1 / rate:.2f} s a case foretold ({name}), {clock:.2f} measured")
        bounds.append(Bound("model", f"foretold over measured rate, {workers} workers", rate * clock, "at most", 1.25))
    return bounds, needs


def seconds(phantoms: Path, results: Path, workers: int, cores: Sequence[int]) -> tuple[float, float]:
    """Runs the phantoms; returns seconds a case by the clock (the networks' loading left out), and of its phases."""
    shutil.rmtree(results, ignore_errors=True)
    command = [sys.executable, "-m", "pipeline", "run", "--input", str(phantoms / "imagesTr"), "--output", str(results)]
    command += ["--no-report", "--tta", "--device", "cpu", "--workers", str(workers)]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, set(cores))
    )
    run = json.loads((results / "run.json").read_text(encoding="utf-8"))
    loading, cases = run["phase_seconds"].pop("load_models"), len(run["cases"])
    return (run["wall_seconds"] - loading) / cases, sum(run["phase_seconds"].values()) / cases


def extrapolate(cases: int, megabytes: float, teraflops: float) -> None:
    """Prints hours of a cohort on clusters of 8 and 64 GPUs."""
    gpu = Needs(AROUND_NETWORKS_S, CASE_GFLOP / 1000 / teraflops, megabytes + OUTPUT_MB)
    print(f"{cases} cases of {gpu.megabytes:g} MB, {gpu.core_seconds:g} s of a core, {gpu.gpu_seconds:.3f} s of a GPU")
    print("| GPUs | workers a GPU | cores | shared disk (MB/s) | cases an hour | hours | bottleneck |")
    print("|---|---|---|---|---|---|---|")
    for gpus in (8, 64):
        for each, disk in ((1, 1000.0), (8, 1000.0), (8, 10000.0)):
            machines = gpus // 8
            cluster = Cluster(gpus * each, machines * 64, gpus, disk, machines * 512.0)
            rate, name = foretell(gpu, cluster)
            row = (gpus, each, cluster.cores, f"{disk:g}", f"{rate * SECONDS_PER_HOUR:,.0f}")
            print("|", " | ".join(str(value) for value in (*row, f"{cases / rate / SECONDS_PER_HOUR:.2f}", name)), "|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--bytes-mb", type=float, default=63.0, help="megabytes of a CT")
    parser.add_argument("--gpu-tflops", type=float, default=40.0, help="what a GPU is assumed to compute, 10^12/s")
    parser.add_argument("--no-measuring", action="store_true", help="extrapolate only")
    options = parser.parse_args(arguments)
    bounds: list[Bound] = []
    needs = Needs(0.0)
    if not options.no_measuring:
        output = options.output.resolve()
        output.mkdir(parents=True, exist_ok=True)
        bounds, needs = measure(output)
        print_bounds(bounds)
    extrapolate(options.cases, options.bytes_mb, options.gpu_tflops)
    return closing(bounds, core_seconds=needs.core_seconds)


if __name__ == "__main__":
    sys.exit(main())

"""Is the output of `pipeline run` the same to the byte, whatever number of threads the machine offers?

    python -m benchmarks.determinism --output work/determinism [--input CTS] [--bundle DIR] [--backend openvino ...]

The same command in processes of their own: one core and OMP_NUM_THREADS=1, then all cores and OMP_NUM_THREADS=2, twice;
with `--deterministic`, where everything but the log must be the same, and without, where times may differ and the rest
is only reported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.same import differences
from benchmarks.tiny import make_patient
from ctcore.files import write

BACKENDS = ("openvino", "torch")


def run(source: Path, output: Path, options: Sequence[str], *, cores: int, threads: int) -> None:
    """Runs `pipeline run` on so many cores, with so many threads of OpenMP's.

    Raises:
        RuntimeError: it fails.
    """
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    command = [sys.executable, "-m", "pipeline", "run", "--device", "cpu", "--overwrite", *options]
    done = subprocess.run(
        [*command, "--input", str(source), "--output", str(output)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")


def compare(source: Path, work: Path, options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns what differs between one thread and two, and between two threads and two again."""
    places = [work / name for name in ("one", "two", "again")]
    every = len(os.sched_getaffinity(0))
    for place, (cores, threads) in zip(places, ((1, 1), (every, 2), (every, 2)), strict=True):
        run(source, work / "results", options, cores=cores, threads=threads)
        shutil.copytree(work / "results", place)
        shutil.rmtree(work / "results")
    found = differences(places[0], places[1]), differences(places[1], places[2])
    for place in places:
        shutil.rmtree(place)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for everything; replaced")
    parser.add_argument("--input", type=Path, help="CTs; two tiny ones if not given")
    parser.add_argument("--bundle", type=Path, help="model bundle; the demonstration's if not given")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="repeatable; all if not given")
    options = parser.parse_args(arguments)
    work = options.output.resolve()
    shutil.rmtree(work, ignore_errors=True)
    source = options.input
    if source is None:
        source = work / "cts"
        for number in range(2):
            write(make_patient(number, lesion=bool(number))[0], source / f"case{number}.nii.gz")
    bundle = [] if options.bundle is None else ["--bundle", str(options.bundle)]
    bounds, told = [], {}
    for backend in options.backend or BACKENDS:
        for mode in ("--deterministic", ""):
            chosen = [*bundle, "--backend", backend, *([mode] if mode else [])]
            pairs = compare(source, work, chosen)
            for what, found in zip(("one thread, two", "two, two again"), pairs, strict=True):
                name = f"{backend} {mode or 'by default'}: {what}"
                told[name] = found
                if mode:
                    bounds.append(Bound(backend, f"different files, {what} threads", len(found), "equal to", 0))
    print_bounds(bounds)
    print_figures("different files", [(name, len(found)) for name, found in told.items()])
    return closing(bounds, differences=told)


if __name__ == "__main__":
    sys.exit(main())

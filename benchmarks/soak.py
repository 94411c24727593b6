"""A thousand cases through one `pipeline run`: memory, open files and threads stay where they are, nothing is missing.

    python -m benchmarks.soak --output work/soak [--cases 1000] [--warm-up 200] [--report]

Tiny CTs and untrained networks of a few hundred weights (`benchmarks.tiny`), so that what a case leaves in memory shows
beside what it takes. The process is looked at from outside, twice a second; the slope is a least-squares fit over the
cases after the warm-up, its noise the standard error of blocks of cases.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.tiny import make_patient, write_bundle
from ctcore.files import write

INTERVAL_SECONDS = 0.5
DIFFERENT_CTS = 20
MIB_KB = 1024
BLOCKS = 20
"""Parts of the measured cases that are taken for independent of one another."""


@dataclass(frozen=True)
class Sample:
    """A look at the process.

    Attributes:
        cases: how many have ended.
        resident_mib: memory.
        handles: open files.
        threads: of the process.
    """

    cases: int
    resident_mib: float
    handles: int
    threads: int


def look(process_id: int, cases: Path) -> Sample | None:
    """Returns a sample, or None where the process has ended."""
    process = Path("/proc") / str(process_id)
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        done = sum(1 for path in cases.iterdir() if path.suffix == ".json") if cases.is_dir() else 0
        handles = sum(1 for _ in (process / "fd").iterdir())
        return Sample(done, int(status["VmRSS"].split()[0]) / MIB_KB, handles, int(status["Threads"]))
    except (OSError, KeyError):
        return None


def slope_of(
    cases: npt.NDArray[np.float64], values: npt.NDArray[np.float64], blocks: int = BLOCKS
) -> tuple[float, float]:
    """Returns the slope of values over cases and its standard error, per 100 cases.

    Samples that follow one another are alike: each block's mean is one observation.

    Args:
        cases: (n,) cases done, ascending.
        values: (n,) at these.
        blocks: how many observations are made of the samples.
    """
    parts = [part for part in np.array_split(np.arange(len(cases)), blocks) if len(part)]
    x = np.array([cases[part].mean() for part in parts]) / 100
    y = np.array([values[part].mean() for part in parts])
    if len(parts) < 3 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - slope * centred
    error = float(np.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred)))
    return slope, error


def make_cohort(folder: Path, cases: int) -> None:
    """Writes CTs; files of the same content are linked."""
    folder.mkdir(parents=True)
    for number in range(cases):
        path = folder / f"case_{number:05d}_0000.nii.gz"
        if number < DIFFERENT_CTS:
            write(make_patient(number, lesion=bool(number % 2))[0], path)
        else:
            path.hardlink_to(folder / f"case_{number % DIFFERENT_CTS:05d}_0000.nii.gz")


def soak(cohort: Path, bundle: Path, output: Path, options: Sequence[str]) -> tuple[int, list[Sample], float]:
    """Runs the cohort; returns exit code, samples and seconds."""
    command = [sys.executable, "-m", "pipeline", "run", "--device", "cpu", "--bundle", str(bundle), *options]
    begin = time.perf_counter()
    with (output.parent / "soak.out").open("w") as out:
        process = subprocess.Popen(
            [*command, "--input", str(cohort), "--output", str(output)], stdout=out, stderr=subprocess.STDOUT
        )
    samples: list[Sample] = []
    while process.poll() is None:
        sample = look(process.pid, output / "cases")
        if sample is not None:
            samples.append(sample)
        time.sleep(INTERVAL_SECONDS)
    return process.returncode, samples, time.perf_counter() - begin


def missing_of(output: Path, cases: int) -> int:
    """Returns how many cases lack a row, a record or a map."""
    with (output / "results.csv").open(encoding="utf-8", newline="") as file:
        done = {row["case_id"] for row in csv.DictReader(file) if row["status"] == "done"}
    whole = [
        case_id
        for case_id in done
        if (output / "cases" / f"{case_id}.json").is_file()
        and all((output / part / f"{case_id}.nii.gz").is_file() for part in ("detection_maps", "segmentations"))
    ]
    return cases - len(whole)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for everything; must not exist")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--warm-up", type=int, default=200, help="cases before the fit begins")
    parser.add_argument("--report", action="store_true", help="draw every case too")
    options = parser.parse_args(arguments)
    work = options.output
    if work.exists():
        shutil.rmtree(work)
    make_cohort(work / "cts", options.cases)
    bundle = write_bundle(work / "model")
    more = [] if options.report else ["--no-report"]
    code, samples, seconds = soak(work / "cts", bundle.folder, work / "results", more)
    if code not in (0, 1):
        print((work / "soak.out").read_text(), file=sys.stderr)
        return 1
    late = [sample for sample in samples if options.warm_up <= sample.cases < options.cases]
    cases = np.array([sample.cases for sample in late], dtype=np.float64)

    def fit(name: str) -> tuple[float, float]:
        return slope_of(cases, np.array([getattr(sample, name) for sample in late], dtype=np.float64))

    memory, noise = fit("resident_mib")
    part = f"{options.cases} cases"
    bounds = [
        Bound(part, "memory, MiB per 100 cases", memory, "at most", 1.0),
        Bound(part, "open files per 100 cases", abs(fit("handles")[0]), "at most", 0.1),
        Bound(part, "threads per 100 cases", abs(fit("threads")[0]), "at most", 0.1),
        Bound(part, "cases without row, record or map", missing_of(work / "results", options.cases), "equal to", 0),
        Bound(part, "exit code", code, "equal to", 0),
    ]
    figures = [
        ("memory's slope, standard error", noise),
        ("memory at the warm-up's end, MiB", late[0].resident_mib if late else None),
        ("memory at the end, MiB", late[-1].resident_mib if late else None),
        ("open files, fewest and most", (min(s.handles for s in late), max(s.handles for s in late)) if late else None),
        ("threads, fewest and most", (min(s.threads for s in late), max(s.threads for s in late)) if late else None),
        ("samples", len(late)),
        ("seconds", seconds),
    ]
    print_bounds(bounds)
    print_figures("beside", figures)
    return closing(bounds, **dict(figures))


if __name__ == "__main__":
    sys.exit(main())

"""Preparing a dataset: `python -m benchmarks.preparation --output DIR`.

Is the cost linear in the number of cases, does memory stay bounded, and is a preparation that was killed and started
again the same to the byte? Prints every bound beside its figure and, as its last line, all figures as one JSON object.
Exit code: 0 all bounds reached, 1 some missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.bounds import Bound, print_bounds, print_figures
from ctcore.console import progress
from ctcore.datasets.case_labels import write_case_labels
from ctcore.datasets.parallel import over_cases
from ctcore.files import write
from ctcore.labels import CLASS_NAMES, PDAC
from ctcore.volume import Geometry, Volume

SCAN = Geometry((200, 512, 512), (0.75, 0.75, 1.5), (-190.0, -190.0, 0.0))
MAX_GIB = 3.0
MAX_COST_RATIO = 1.15
"""Seconds a case of the whole cohort against half of it; both meet different weather."""
MIN_CASES = 8
"""Half of them are to make two folds of two classes."""
KIB_PER_GIB = 2**20
SAMPLING_SECONDS = 0.05


@dataclass(frozen=True)
class Preparation:
    """A `prepare` that has ended.

    Attributes:
        cases: number of cases.
        seconds: time of the whole process, the doctor's included.
        peak_gib: largest memory of the process and its workers together, shared pages counted once.
    """

    cases: int
    seconds: float
    peak_gib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preparation", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; scans that lie there are kept")
    parser.add_argument("--cases", type=int, default=200, help="cases of 512x512x200 voxels, 8 or more (default: 200)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    options = parser.parse_args(arguments)
    if options.cases < MIN_CASES:
        parser.error(f"--cases {options.cases} is too few; give {MIN_CASES} or more")
    output: Path = options.output

    whole = make_dataset(output / "whole", options.cases, options.workers)
    half = link_part(whole, output / "half", options.cases // 2)
    small = prepare(half, output / "work-half", options.workers)
    large = prepare(whole, output / "work-whole", options.workers)
    stopped_after = kill_midway(whole, output / "work-killed", options.workers, options.cases // 2)
    again = prepare(whole, output / "work-killed", options.workers, fresh=False)
    same = contents(output / "work-whole") == contents(output / "work-killed")

    ratio = (large.seconds / large.cases) / (small.seconds / small.cases)
    bounds = [
        Bound("cost", "seconds a case, all cases against half of them", ratio, "at most", MAX_COST_RATIO),
        Bound("memory", f"peak with {options.workers} workers (GiB)", large.peak_gib, "at most", MAX_GIB),
        Bound("resume", "killed and started again: files equal", same, "equal to", True),
    ]
    print_bounds(bounds)
    figures = [("cases", large.cases), ("seconds a case", large.seconds / large.cases)]
    figures += [("killed after cases", stopped_after), ("seconds of the second run", again.seconds)]
    print_figures("preparation", figures)
    document = {"bounds": [bound.as_dict() for bound in bounds]}
    print(json.dumps(document | {"half": asdict(small), "whole": asdict(large), "again": asdict(again)}))
    return 0 if all(bound.reached for bound in bounds) else 1


def make_dataset(folder: Path, cases: int, workers: int) -> Path:
    """Writes a dataset of random bodies in nnU-Net's layout; label maps hold float64, as most of PANORAMA's do."""
    case_ids = [f"case_{number:04}" for number in range(cases)]
    with progress(f"writing {cases} scans") as report:
        for _ in over_cases(case_ids, partial(_write_case, folder), workers=workers, progress=report):
            pass
    write_case_labels(folder / "case_labels.csv", {case_id: _class_of(case_id) for case_id in case_ids})
    return folder


def link_part(whole: Path, folder: Path, cases: int) -> Path:
    """Makes a dataset of the first cases of another."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
        for path in sorted((whole / name).iterdir())[:cases]:
            (folder / name / path.name).symlink_to(path.resolve())
    shutil.copyfile(whole / "case_labels.csv", folder / "case_labels.csv")
    return folder


def _class_of(case_id: str) -> str:
    return CLASS_NAMES[int(case_id[-4:]) % 2]


def _write_case(folder: Path, case_id: str) -> None:
    image, label = folder / "imagesTr" / f"{case_id}_0000.nii.gz", folder / "labelsTr" / f"{case_id}.nii.gz"
    if label.is_file():
        return
    generator = np.random.default_rng(int(case_id[-4:]))
    y, x = np.ogrid[-1 : 1 : SCAN.shape[1] * 1j, -1 : 1 : SCAN.shape[2] * 1j]
    body = (y / 0.7) ** 2 + (x / 0.9) ** 2 < 1
    noise = generator.normal(0, 12, (8, *SCAN.shape[1:]))
    hounsfield = np.empty(SCAN.shape, np.int16)
    for z in range(SCAN.shape[0]):
        hounsfield[z] = np.where(body, 40 + np.roll(noise[z % 8], z, axis=1), -1000)
    hounsfield[:, 400:430, 240:270] = 500
    labels = np.zeros(SCAN.shape, np.float64)
    labels[80:120, 220:270, 180:330] = 4
    if _class_of(case_id) == PDAC:
        labels[95:105, 230:250, 200:220] = 1
    write(Volume(hounsfield, SCAN), image)
    write(Volume(labels, SCAN), label)


def _command(source: Path, work: Path, workers: int) -> list[str]:
    options = ["--input", str(source), "--output", str(work), "--workers", str(workers), "--folds", "2"]
    return [sys.executable, "-m", "stage1_localizer", "prepare", *options]


def prepare(source: Path, work: Path, workers: int, *, fresh: bool = True) -> Preparation:
    """Prepares a dataset and samples the memory of all processes meanwhile."""
    if fresh:
        shutil.rmtree(work, ignore_errors=True)
    begin, peak = time.perf_counter(), 0.0
    with subprocess.Popen(_command(source, work, workers)) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_memory_gib, family_of(process.pid))))
            time.sleep(SAMPLING_SECONDS)
    if process.returncode:
        raise SystemExit(f"preparing '{source}' ended with exit code {process.returncode}; see its message above")
    return Preparation(len(list((source / "imagesTr").iterdir())), time.perf_counter() - begin, peak)


def kill_midway(source: Path, work: Path, workers: int, cases: int) -> int:
    """Kills a preparation, workers and all, when `cases` are finished; returns how many were then."""
    shutil.rmtree(work, ignore_errors=True)
    with subprocess.Popen(_command(source, work, workers), start_new_session=True) as process:
        while process.poll() is None and len(list((work / "prepared").glob("*.json"))) < cases:
            time.sleep(SAMPLING_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    return len(list((work / "prepared").glob("*.json")))


def family_of(pid: int) -> list[int]:
    """Returns a process and its children (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(int(child) for child in children)]


def _memory_gib(pid: int) -> float:
    """Returns the proportional set size of a process: shared pages divided among those that share them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / KIB_PER_GIB for line in lines if line.startswith("Pss:")), 0.0)


def contents(work: Path) -> dict[str, bytes]:
    """Returns every file of a workspace."""
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())

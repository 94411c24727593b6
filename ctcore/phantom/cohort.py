"""Cohorts of phantoms: many cases on disk, in nnU-Net's layout, with their labels, classes and records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ctcore import files
from ctcore.errors import CaseError, RequestError
from ctcore.labels import NON_PDAC, PANORAMA_NAMES, PDAC
from ctcore.phantom.anatomy import label_map
from ctcore.phantom.phantom import make_phantom
from ctcore.phantom.scanner import Domain, Size

IMAGES, LABELS, RECORDS = "imagesTr", "labelsTr", "phantoms"


@dataclass(frozen=True)
class _Job:
    """One case to make; small and picklable."""

    output: Path
    case_id: str
    seed: np.random.SeedSequence
    positive: bool
    size: Size
    domain: Domain
    anatomy: Path | None


def _make_case(job: _Job) -> str:
    anatomy = files.read(job.anatomy) if job.anatomy is not None else None
    phantom = make_phantom(job.seed, positive=job.positive, size=job.size, domain=job.domain, anatomy_labels=anatomy)
    files.write(phantom.image, job.output / IMAGES / f"{job.case_id}_0000.nii.gz")
    files.write(phantom.labels, job.output / LABELS / f"{job.case_id}.nii.gz")
    record: dict[str, Any] = {"case_id": job.case_id, **phantom.record}
    if job.anatomy is not None:
        record["anatomy"] = job.anatomy.name
    files.write_text(job.output / RECORDS / f"{job.case_id}.json", json.dumps(record, indent=1) + "\n")
    return job.case_id


def _check(output: Path, cases: int, positive_fraction: float, size: str, domain: str, workers: int) -> None:
    if cases < 1:
        raise RequestError(f"number of phantom cases {cases} is below 1: ask for at least one")
    if not 0.0 <= positive_fraction <= 1.0:
        raise RequestError(f"positive fraction {positive_fraction} is outside 0 to 1: give a share of the cases")
    if workers < 1:
        raise RequestError(f"number of workers {workers} is below 1: give at least one")
    for name, value, choices in (("size", size, get_args(Size)), ("domain", domain, get_args(Domain))):
        if value not in choices:
            raise RequestError(f"phantom {name} {value!r} is unknown: choose one of {', '.join(choices)}")
    if output.exists() and not output.is_dir():
        raise RequestError(f"output '{output}' is a file: give a folder that is empty or does not exist yet")
    if output.is_dir() and any(output.iterdir()):
        raise RequestError(f"output folder '{output}' is not empty: give an empty one, so that cohorts do not mix")


def _choose_maps(folder: Path, flags: np.ndarray, generator: np.random.Generator) -> list[Path]:
    """Picks one label map per case: with a lesion where the flag is set, without where it is not.

    The folder's maps are read in a random order until there are enough of both kinds; a kind with fewer maps than
    cases is cycled.

    Raises:
        RequestError: The folder is missing or has no usable map of a kind that is wanted.
    """
    if not folder.is_dir():
        raise RequestError(f"anatomy folder '{folder}' does not exist: give a folder of label maps")
    found = files.discover(folder)
    wanted = {True: int(flags.sum()), False: int((~flags).sum())}
    kept: dict[bool, list[Path]] = {True: [], False: []}
    for index in generator.permutation(len(found)):
        if all(len(kept[kind]) >= wanted[kind] for kind in kept):
            break
        path = found[int(index)].path
        try:
            source = label_map(files.read(path))
        except CaseError:
            continue
        kind = source.has_lesion
        if len(kept[kind]) < wanted[kind]:
            kept[kind].append(path)
    for kind, word in ((True, "with"), (False, "without")):
        if wanted[kind] and not kept[kind]:
            raise RequestError(
                f"anatomy folder '{folder}' has no usable label map {word} a lesion (label 1):"
                " change the positive fraction or give another folder"
            )
    turn = {True: 0, False: 0}
    chosen = []
    for flag in flags:
        kind = bool(flag)
        chosen.append(kept[kind][turn[kind] % len(kept[kind])])
        turn[kind] += 1
    return chosen


def write_cohort(
    output: Path,
    cases: int,
    seed: int,
    *,
    anatomy: Path | None = None,
    positive_fraction: float = 0.5,
    size: Size = "demo",
    domain: Domain = "clinical",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a cohort of phantoms.

    The result depends on the seed alone: every case has a random sequence of its own, so neither the number of workers
    nor the order in which cases are finished changes a byte.

    Args:
        output: Folder to write `imagesTr`, `labelsTr`, `phantoms`, `dataset.json` and `case_labels.csv` to; empty or
            absent.
        cases: Number of cases.
        seed: What everything random follows from; not negative.
        anatomy: Folder of label maps in PANORAMA's values to build bodies around; None for parametric anatomy.
        positive_fraction: Share of the cases with a carcinoma, met exactly (rounded to whole cases).
        size: "demo" or "clinical" array sizes.
        domain: "clinical" or "wide" randomisation.
        workers: Number of processes.
        progress: Called with (finished, total) after every case.

    Raises:
        RequestError: A value is out of range, the output is not empty, or the anatomy folder cannot serve the request.
    """
    output = Path(output)
    _check(output, cases, positive_fraction, size, domain, workers)
    if seed < 0:
        raise RequestError(f"seed {seed} is negative: give 0 or more")
    plan_seed, case_seed = np.random.SeedSequence(seed).spawn(2)
    generator = np.random.default_rng(plan_seed)
    flags = np.zeros(cases, dtype=bool)
    flags[: int(np.floor(cases * positive_fraction + 0.5))] = True
    generator.shuffle(flags)
    maps = [None] * cases if anatomy is None else _choose_maps(Path(anatomy), flags, generator)
    jobs = [
        _Job(output, f"phantom_{seed}_{index + 1:04d}", sequence, bool(flag), size, domain, path)
        for index, (sequence, flag, path) in enumerate(zip(case_seed.spawn(cases), flags, maps, strict=True))
    ]
    for folder in (IMAGES, LABELS, RECORDS):
        (output / folder).mkdir(parents=True, exist_ok=True)
    if workers == 1:
        for done, job in enumerate(jobs, 1):
            _make_case(job)
            if progress is not None:
                progress(done, cases)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done, future in enumerate(as_completed([pool.submit(_make_case, job) for job in jobs]), 1):
                future.result()
                if progress is not None:
                    progress(done, cases)
    _write_tables(output, jobs)


def _write_tables(output: Path, jobs: list[_Job]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["case_id", "class_name"])
    writer.writerows([job.case_id, PDAC if job.positive else NON_PDAC] for job in jobs)
    files.write_text(output / "case_labels.csv", table.getvalue())
    dataset = {
        "name": "phantoms",
        "description": "Synthetic contrast-enhanced abdominal CTs with exact labels",
        "channel_names": {"0": "CT"},
        "labels": dict(PANORAMA_NAMES),
        "numTraining": len(jobs),
        "file_ending": ".nii.gz",
    }
    files.write_text(output / "dataset.json", json.dumps(dataset, indent=1) + "\n")

"""Cohorts of phantoms: many cases on disk, in nnU-Net's layout, with their labels, classes and records."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ctcore import files
from ctcore.datasets.parallel import over_cases
from ctcore.durable import PARTIAL_PREFIX, remove_partials, write_text
from ctcore.errors import RequestError
from ctcore.json_files import read_json
from ctcore.labels import NON_PDAC, PANORAMA_NAMES, SUBTYPE_NAMES
from ctcore.lock import LOCK_NAME, locked
from ctcore.phantom.anatomies import RECORDS, choose_maps, patient_of, patients_used
from ctcore.phantom.pathology import check_lesion_ml
from ctcore.phantom.phantom import make_phantom
from ctcore.phantom.scanner import Domain, Size
from ctcore.phantom.tasks import CLASSES, Task, class_counts, class_shares

IMAGES, LABELS = "imagesTr", "labelsTr"
REQUEST = "cohort.json"
"""What was asked for: a cohort that was interrupted goes on only where the same is asked for again."""

MOST_BENT_MM = 8.0
"""Up to here no map folds over."""


@dataclass(frozen=True)
class _Job:
    """One case to make; small and picklable."""

    output: Path
    case_id: str
    seed: np.random.SeedSequence
    class_name: str
    size: Size
    domain: Domain
    anatomy: Path | None
    lesion_ml: tuple[float, float] | None
    bend_mm: float
    around_mm: float | None

    @property
    def positive(self) -> bool:
        """True where the case holds a lesion."""
        return self.class_name != NON_PDAC


def _make_case(job: _Job) -> str:
    anatomy = files.read(job.anatomy) if job.anatomy is not None else None
    phantom = make_phantom(
        job.seed,
        positive=job.positive,
        subtype=job.class_name if job.class_name in SUBTYPE_NAMES else None,
        size=job.size,
        domain=job.domain,
        anatomy_labels=anatomy,
        lesion_ml=job.lesion_ml,
        bend_mm=job.bend_mm,
        around_mm=job.around_mm,
    )
    files.write(phantom.image, job.output / IMAGES / f"{job.case_id}_0000.nii.gz")
    files.write(phantom.labels, job.output / LABELS / f"{job.case_id}.nii.gz")
    record: dict[str, Any] = {"case_id": job.case_id, **phantom.record}
    if job.anatomy is not None:
        record["anatomy"] = job.anatomy.name
    write_text(job.output / RECORDS / f"{job.case_id}.json", json.dumps(record, indent=1) + "\n")
    return job.case_id


def _check(output: Path, cases: int, seed: int, size: str, domain: str, workers: int) -> None:
    if cases < 1:
        raise RequestError(f"number of phantom cases {cases} is below 1: ask for at least one")
    if seed < 0:
        raise RequestError(f"seed {seed} is negative: give 0 or more")
    if workers < 1:
        raise RequestError(f"number of workers {workers} is below 1: give at least one")
    for name, value, choices in (("size", size, get_args(Size)), ("domain", domain, get_args(Domain))):
        if value not in choices:
            raise RequestError(f"phantom {name} {value!r} is unknown: choose one of {', '.join(choices)}")
    if output.exists() and not output.is_dir():
        raise RequestError(f"output '{output}' is a file: give a folder that is empty or does not exist yet")


def _begin(output: Path, request: dict[str, Any]) -> None:
    """Writes what is asked for, or checks that the folder was begun with the same.

    Raises:
        RequestError: the folder holds something else.
    """
    if any(path.name != LOCK_NAME and not path.name.startswith(PARTIAL_PREFIX) for path in output.iterdir()):
        path = output / REQUEST
        if not path.is_file() or read_json(path) != request:
            raise RequestError(
                f"output folder '{output}' is not empty, and not of a cohort that was begun by the same command and"
                " version: give an empty one, so that cohorts do not mix"
            )
    remove_partials(output)
    write_text(output / REQUEST, json.dumps(request, indent=1) + "\n")


def _check_anatomy(anatomy: Path | None, exclude: Sequence[Path], repeat: int, bend_mm: float) -> None:
    if repeat < 1:
        raise RequestError(f"repeat {repeat} is below 1: give how many cases share a label map")
    if anatomy is None and exclude:
        raise RequestError(f"cohort '{exclude[0]}' is excluded without label maps to leave out: give an anatomy folder")
    if not 0 <= bend_mm <= MOST_BENT_MM:
        raise RequestError(f"label maps cannot be bent by {bend_mm:g} mm: give 0 to {MOST_BENT_MM:g}")
    if anatomy is None and bend_mm > 0:
        raise RequestError(f"bending by {bend_mm:g} mm needs label maps to bend: give an anatomy folder")
    if anatomy is None and repeat > 1:
        raise RequestError(f"repeat {repeat} needs label maps to repeat: give an anatomy folder")


def write_cohort(
    output: Path,
    cases: int,
    seed: int,
    *,
    task: Task = "pdac",
    positive_fraction: float | None = None,
    class_fractions: Sequence[float] | None = None,
    anatomy: Path | None = None,
    exclude: Sequence[Path] = (),
    repeat: int = 1,
    size: Size = "demo",
    domain: Domain = "clinical",
    lesion_ml: tuple[float, float] | None = None,
    bend_mm: float = 0.0,
    around_mm: float | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a cohort of phantoms; one that was interrupted goes on with the cases that are not there yet.

    The result depends on the seed alone: every case has a random sequence of its own, so neither the number of workers
    nor the order in which cases are finished changes a byte.

    Args:
        output: Folder to write `imagesTr`, `labelsTr`, `phantoms`, `dataset.json`, `case_labels.csv` and
            `cohort.json` to; empty, absent, or begun by the same request.
        cases: Number of cases.
        seed: What everything random follows from; not negative.
        task: "pdac": with a carcinoma or without; "subtypes": one lesion of one of three subtypes in every case.
        positive_fraction: Share of the cases with a carcinoma, met exactly (rounded to whole cases); None: one half.
        class_fractions: Weights of the three subtypes, met as exactly; None: those of the three-subtype reports.
        anatomy: Folder of label maps in PANORAMA's values to build bodies around; None for parametric anatomy.
        exclude: Folders of phantoms; patients around whose label maps these were built are not used.
        repeat: How many cases share a label map; all else differs between them.
        size: "demo" or "clinical" array sizes.
        domain: "clinical" or "wide" randomisation.
        lesion_ml: Smallest and largest volume of parametric carcinomas, between which its logarithm is uniform; None
            for the distribution measured on PANORAMA.
        bend_mm: How far each case's label map is bent, after it was turned and scaled: another anatomy than the map's,
            for training; 0 takes the maps as they are.
        around_mm: The CTs end this far from the pancreatic region: quicker, and enough to train stage 2; None: whole.
        workers: Number of processes.
        progress: Called with (finished, total) after every case.

    Raises:
        RequestError: A value is out of range, the output holds something else, or the anatomy folder cannot serve the
            request.
    """
    output = Path(output)
    _check(output, cases, seed, size, domain, workers)
    _check_anatomy(anatomy, exclude, repeat, bend_mm)
    check_lesion_ml(lesion_ml, parametric_carcinoma=anatomy is None and task == "pdac")
    if around_mm is not None and not 0 <= around_mm < math.inf:
        raise RequestError(f"CTs cannot end {around_mm:g} mm around the pancreas: give 0 or more")
    counts = class_counts(class_shares(task, positive_fraction, class_fractions), cases)
    excluded = patients_used([Path(cohort) for cohort in exclude])
    plan_seed, case_seed = np.random.SeedSequence(seed).spawn(2)
    generator = np.random.default_rng(plan_seed)
    order = np.repeat(np.arange(len(counts)), counts)
    generator.shuffle(order)
    names = [CLASSES[task][index] for index in order]
    maps: Sequence[Path | None] = [None] * cases
    if anatomy is not None:
        lesions = [name != NON_PDAC for name in names]
        maps = choose_maps(Path(anatomy), lesions, generator, excluded=excluded, repeat=repeat)
    jobs = [
        _Job(
            output, f"phantom_{seed}_{index + 1:04d}", sequence, name, size, domain, path, lesion_ml, bend_mm, around_mm
        )
        for index, (sequence, name, path) in enumerate(zip(case_seed.spawn(cases), names, maps, strict=True))
    ]
    request = {
        "version": metadata.version("ct-lesion-pipeline"),
        "seed": seed,
        "task": task,
        "size": size,
        "domain": domain,
        "lesion_ml": lesion_ml and list(lesion_ml),
        # Only where they are given: cohorts begun before the options go on.
        **({"bend_mm": bend_mm} if bend_mm else {}),
        **({} if around_mm is None else {"around_mm": around_mm}),
        "cases": {job.case_id: [job.class_name, job.anatomy and job.anatomy.name] for job in jobs},
    }
    with locked(output):
        _begin(output, request)
        for folder in (IMAGES, LABELS, RECORDS):
            (output / folder).mkdir(parents=True, exist_ok=True)
            remove_partials(output / folder)
        missing = [job for job in jobs if not (output / RECORDS / f"{job.case_id}.json").is_file()]  # written last
        kept = len(jobs) - len(missing)

        def report(done: int, _: int) -> None:
            if progress is not None:
                progress(kept + done, cases)

        for _ in over_cases(missing, _make_case, workers=workers, progress=report):
            pass
        _write_tables(output, jobs)


def _write_tables(output: Path, jobs: list[_Job]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    # Parametric phantoms are patients of their own, which is what readers take a table without the column for.
    of_patients = any(job.anatomy is not None for job in jobs)
    writer.writerow(["case_id", "class_name", *(["patient_id"] if of_patients else [])])
    for job in jobs:
        patient = [] if job.anatomy is None else [patient_of(job.anatomy.name)]
        writer.writerow([job.case_id, job.class_name, *patient])
    write_text(output / "case_labels.csv", table.getvalue())
    dataset = {
        "name": "phantoms",
        "description": "Synthetic contrast-enhanced abdominal CTs with exact labels",
        "channel_names": {"0": "CT"},
        "labels": dict(PANORAMA_NAMES),
        "numTraining": len(jobs),
        "file_ending": ".nii.gz",
    }
    write_text(output / "dataset.json", json.dumps(dataset, indent=1) + "\n")

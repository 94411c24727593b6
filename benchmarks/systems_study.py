"""The systems study: its cohorts, its trainings and what they are measured on.

Every part is kept once it is finished, so that a study can be stopped and started again; a training goes on from its
last epoch. Trainings run side by side, which is faster than one after the other with all cores.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.commands import run
from benchmarks.systems_recipes import (
    FOLD,
    RESIDUAL,
    SLICES,
    TASKS,
    THREE_LABELS,
    Job,
    Task,
    changes_of,
    has_kinds,
)
from ctcore.detection.fusion_fit import fit_mean
from ctcore.json_files import write_json
from ctcore.labels import PDAC

Cohort = Literal["train", "bent", "test"]
Part = Literal["train", "test"]

SEEDS: dict[Task, dict[Cohort, int]] = {
    "pdac": {"train": 9301, "bent": 9305, "test": 9302},
    "subtypes": {"train": 9303, "bent": 9306, "test": 9304},
}
"""Seeds of each task's cohorts."""
REPEAT = {"pdac": 1, "subtypes": 2}
"""How many test phantoms share a label map at least; 389 of the 989 maps hold a lesion. In training as few as there can
be: a network that knows every map by heart finds no other's lesion."""
BENT_MM = 5
"""How far the label maps of the bent cohort are bent, for the same reason."""
AROUND_MM = 35
"""How much of the CT is rendered around the pancreatic region in training: more than any ROI shows of it."""

FOLDS = 15
CANDIDATES = {
    "mode": "dynamic-v2-mean",
    "dynamic_threshold_factor": 5.0,
    "min_voxels": 0,
    "min_volume_ml": 0.6,
    "min_confidence": 0.01,
}
"""How all systems' candidates are cut out: as in the demonstration bundle, chosen on other phantoms, but for the least,
which is a volume in place of voxels, and for weak ones, which are kept (`benchmarks.ablations`)."""
WEIGHED = "--weigh-candidates"
"""Makes candidates of different patients rank by the head's probability too."""
TRAINED_ON = "phantoms around real label maps (synthetic CTs)"
FINISHED = "finished"
"""File in a workspace in which nothing is left to do before training."""


@dataclass(frozen=True)
class Study:
    """What is compared, and where it lies.

    Attributes:
        root: folder of everything.
        anatomy: label maps to build phantoms around.
        train: phantoms to train on.
        bent: further ones, around label maps that are turned, scaled and bent.
        test: phantoms to test on; no patient's label map serves both.
        epochs: epochs of each training.
        steps: steps of each epoch.
        workers: processes that render and prepare.
        parallel: trainings at once; the cores are divided among them.
        evaluations: `TASK/RUN` folders of what is measured; None: in `root`.
    """

    root: Path
    anatomy: Path
    train: int
    bent: int
    test: int
    epochs: int
    steps: int
    workers: int
    parallel: int = 1
    evaluations: Path | None = None

    @property
    def measured(self) -> Path:
        """Folder of `TASK/RUN` folders of evaluations."""
        return self.evaluations or self.root / "evaluations"

    def train_and_evaluate(self, jobs: Sequence[Job]) -> None:
        """Trains, exports and evaluates whatever of the jobs was not, several at once."""
        for job in jobs:  # all cores prepare one
            self.workspace(job)
            self.crops(job, "test")
        self.at_once(self.evaluation, jobs)

    def at_once(self, work: Callable[[Job], object], jobs: Sequence[Job]) -> None:
        """Does a work for every job, several at once; when one fails, what was not begun is left."""
        with ThreadPoolExecutor(self.parallel) as pool:
            begun = [pool.submit(work, job) for job in jobs]
            try:
                for done in as_completed(begun):
                    done.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def cohorts(self, task: Task, part: Part) -> list[Path]:
        """Returns the folders of the cohorts to train on, or of the one to test on."""
        if part == "test":
            return [self.cohort(task, "test")]
        return [self.cohort(task, name) for name in SEEDS[task] if name != "test" and (name != "bent" or self.bent)]

    def cohort(self, task: Task, name: Cohort) -> Path:
        """Returns the folder of a cohort, rendered where it is not there."""
        folder = self.root / f"{task}-{name}"
        own = {
            "train": ["--cases", str(self.train), "--around-mm", str(AROUND_MM)],
            "bent": ["--cases", str(self.bent), "--around-mm", str(AROUND_MM), "--bend-mm", str(BENT_MM)],
            "test": ["--cases", str(self.test), "--repeat", str(REPEAT[task])],
        }[name]
        if name != "test":
            own += ["--exclude", str(self.cohort(task, "test"))]
        if not (folder / "case_labels.csv").is_file():
            run(
                "pipeline",
                "phantom",
                *("--task", task, "--anatomy", str(self.anatomy), "--seed", str(SEEDS[task][name])),
                *("--workers", str(self.workers), "--output", str(folder), *own),
            )
        return folder

    def workspace(self, job: Job) -> Path:
        """Returns a planned workspace to train in; one for all whose crops and plan are the same."""
        recipe = job.system.partition("@")[0]
        crops = self.crops(job, "train")
        plan = job.plan or ("slices" if recipe == SLICES else "resenc" if recipe in RESIDUAL else recipe)
        root = crops.with_name(f"{crops.name}-{plan}")
        if not (root / FINISHED).is_file():
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(crops, root, ignore=shutil.ignore_patterns(FINISHED))
            shares = ("--workers", str(self.workers))
            run("stage2_multitask", "plan", "--workspace", str(root), *shares, *self.options(job))
            (root / FINISHED).touch()
        return root

    def crops(self, job: Job, part: Part) -> Path:
        """Returns a workspace of ROI crops that is not planned; one for all systems with the same labels."""
        labels = "three" if job.system.partition("@")[0] in THREE_LABELS else "all"
        labels += "-kinds" if has_kinds(job) else ""
        root = self.root / f"{job.task}-{part}-{job.crops or labels}"
        if not (root / FINISHED).is_file():
            inputs = [option for cohort in self.cohorts(job.task, part) for option in ("--input", str(cohort))]
            place = (*inputs, "--output", str(root))
            shares = ("--folds", str(FOLDS if part == "train" else 2), "--workers", str(self.workers))
            run("stage2_multitask", "prepare", *place, *shares, *self.options(job))
            (root / FINISHED).touch()
        return root

    def options(self, job: Job, *more: str) -> list[str]:
        """Returns the options that name a job's recipe and set its fields, then further ones."""
        fields = [*changes_of(job, self.epochs, self.steps), *more]
        return ["--recipe", job.system, *(part for field in fields for part in ("--set", field))]

    def train_folds(self, job: Job) -> None:
        """Trains the job's folds; what is trained is not trained again."""
        self.run_logged(job, "train", *self.place(job, ",".join(job.folds)), "--workers", "0", *self.own_options(job))

    def model(self, job: Job) -> Path:
        """Trains and exports where that was not done; returns the stage folder."""
        own = bool(job.exported) or tuple(job.folds) != (FOLD,)
        folder = self.root / "models" / job.task / (job.label if own else job.run)
        if not (folder / "model.json").is_file():
            self.train_folds(job)
            place = ("--workspace", str(self.workspace(job)), "--output", str(folder))
            self.run_logged(job, "export", *place, "--trained-on", TRAINED_ON, *self.own_options(job))
        return folder

    def evaluation(self, job: Job) -> Path:
        """Evaluates on the test cohort where that was not done; returns the folder of the evaluation."""
        output = self.measured / job.task / job.label
        if not (output / "metrics.json").is_file():
            place = ("--model", str(self.model(job)), "--input", str(self.crops(job, "test")))
            self.run_logged(job, "evaluate", *place, "--output", str(output), *self.scoring(job))
        return output

    def held_out(self, job: Job) -> Path:
        """Evaluates a trained job on the fold that it did not see, where that was not done; returns the folder."""
        output = self.root / "held-out" / job.task / job.label
        if not (output / "metrics.json").is_file():
            options = (*self.scoring(job), *self.own_options(job))
            self.run_logged(job, "evaluate", *self.place(job, FOLD), "--output", str(output), *options)
        return output

    def place(self, job: Job, folds: str) -> list[str]:
        """Returns the options that name folds of a job's workspace."""
        return ["--workspace", str(self.workspace(job)), "--fold", folds]

    def own_options(self, job: Job) -> list[str]:
        """Returns a job's recipe as `options` does, with the name of its training."""
        return self.options(job, f"name={job.run}", *job.exported)

    def scoring(self, job: Job) -> list[str]:
        """Returns how a job's candidates are made and its scores fused."""
        return [*self.candidates(job.candidates), WEIGHED, *self.fusion(job), *job.scoring]

    def candidates(self, changed: tuple[tuple[str, float], ...] = ()) -> list[str]:
        """Returns the option that names how candidates are cut out, with some settings changed."""
        name = "-".join(("candidates", *(f"{key}-{value:g}" for key, value in changed)))
        file = self.root / f"{name}.json"
        write_json(file, CANDIDATES | dict(changed))
        return ["--candidate-settings", str(file)]

    def fusion(self, job: Job) -> list[str]:
        """Returns how head and map become the score: for PDAC with the weight that suits the fold not trained on."""
        if job.task != "pdac":
            return []
        output = self.root / "validation" / job.task / job.label
        if not (output / "metrics.json").is_file():
            options = (*self.candidates(job.candidates), *self.own_options(job))
            self.run_logged(job, "evaluate", *self.place(job, FOLD), "--output", str(output), *options)
        with (output / "cases.csv").open(encoding="utf-8", newline="") as file:
            cases = list(csv.DictReader(file))
        of_head, of_map = ([float(case[name] or 0) for case in cases] for name in ("p_PDAC", "detection_max"))
        weight = fit_mean(of_head, of_map, [case["class_name"] == PDAC for case in cases]).weight
        return ["--fusion", "mean", "--weight", f"{weight:g}"]

    def run_logged(self, job: Job, command: str, *arguments: str) -> None:
        """Runs a command of stage 2 with its share of the cores; its output goes to a log beside the study."""
        log = self.root / "logs" / f"{job.task}-{job.label}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // self.parallel)
        begin = time.monotonic()
        print(f"{job.task} {job.label}: {command} (log: {log})", flush=True)
        with log.open("a", encoding="utf-8") as output:
            run("stage2_multitask", command, *arguments, output=output, threads=threads)
        print(f"{job.task} {job.label}: {command} took {(time.monotonic() - begin) / 60:.1f} min", flush=True)


def study_of(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Study]:
    """Adds the study's options to a command line; returns the options and the study that they describe."""
    parser.add_argument("--anatomy", type=Path, required=True, help="folder of PANORAMA label maps")
    parser.add_argument("--output", type=Path, required=True, help="folder of the study; finished parts are kept")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this task; repeatable")
    parser.add_argument("--train", type=int, default=1500, help="training phantoms of each task (default: 1500)")
    parser.add_argument("--bent", type=int, default=1500, help="further ones, maps bent (default: 1500)")
    parser.add_argument("--test", type=int, default=200, help="test phantoms of each task (default: 200)")
    parser.add_argument("--epochs", type=int, default=18, help="epochs of each training (default: 18)")
    parser.add_argument("--steps", type=int, default=650, help="steps of each epoch (default: 650)")
    parser.add_argument("--workers", type=int, default=2, help="processes that render and prepare (default: 2)")
    parser.add_argument("--parallel", type=int, default=2, help="trainings at once (default: 2)")
    parser.add_argument("--evaluations", type=Path, help="folder of what is measured (default: OUTPUT/evaluations)")
    given = parser.parse_args(arguments)
    sizes = (given.train, given.bent, given.test, given.epochs, given.steps)
    return given, Study(given.output, given.anatomy, *sizes, given.workers, given.parallel, given.evaluations)

"""Five published systems and ours, side by side: `python -m benchmarks.systems --anatomy DIR --output DIR`.

The same cohort of phantoms around real label maps, the same grid, width and number of steps for all; what makes a
system itself (encoder, head, losses, balance, phases, optimiser, patches, aggregation) is its recipe's. Two tasks: PDAC
or not, and three lesion subtypes. Every part is kept once it is finished, so that the command can be stopped and
started again; a training goes on from its last epoch. Writes `systems.json` and prints its tables.

Exit code: 0 every bound reached, 1 one missed or not measured yet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.systems_table import print_tables
from ctcore.files import write_json

Task = Literal["pdac", "subtypes"]
TASKS: tuple[Task, ...] = ("pdac", "subtypes")

SYSTEMS = ("masked-gem", "slice-ensemble", "gap", "panorama-fpn", "dual-decoder", "flagship")
SLICES = "slice-ensemble"
RESIDUAL = ("masked-gem", "slice-ensemble", "dual-decoder")
THREE_LABELS = ("masked-gem", "slice-ensemble", "gap", "dual-decoder")
"""Systems that segment pancreas and lesion; the others all labels of PANORAMA."""

CLASSES = {"pdac": '["non-PDAC","PDAC"]', "subtypes": '["subtype0","subtype1","subtype2"]'}
SEEDS = {"pdac": (9301, 9302), "subtypes": (9303, 9304)}
"""Seeds of the training and of the test cohort of each task."""
REPEAT = {"pdac": (3, 1), "subtypes": (4, 2)}
"""How many phantoms share a label map in them; 389 of the 989 maps hold a lesion."""

GRID = ("spacing_mm=[3,3,3]", "margin_mm=[25,25,25]", "margin_jitter_mm=15")
"""What all systems are brought to; ROIs of training and test err as the localizer's do."""
LEVELS = "features=[16,32,64,128,160]"
SLICE_LEVELS = "features=[16,32,64,128]"
VOLUME, SLICE = "[64,48,64]", "[1,48,64]"
FOLDS = 10
FOLD = "0"
SCORING = ("--candidates", "dynamic-v2-mean", "--growth-factor", "5")
"""How all systems' candidates are cut out: the settings of the demonstration bundle, chosen on other phantoms."""
TRAINED_ON = "phantoms around real label maps (synthetic CTs)"
FINISHED = "finished"
"""File in a workspace that is prepared and planned."""


@dataclass(frozen=True)
class Study:
    """What is compared, and where it lies.

    Attributes:
        root: folder of everything.
        anatomy: label maps to build phantoms around.
        train: phantoms to train on.
        test: phantoms to test on; no patient's label map serves both.
        epochs: epochs of each training.
        steps: steps of each epoch.
        workers: processes that render and prepare.
    """

    root: Path
    anatomy: Path
    train: int
    test: int
    epochs: int
    steps: int
    workers: int

    def cohort(self, task: Task, part: Literal["train", "test"]) -> Path:
        """Returns the folder of a cohort, rendered where it is not there."""
        folder = self.root / f"{task}-{part}"
        is_test = part == "test"
        more = [] if is_test else ["--exclude", str(self.cohort(task, "test"))]
        if not (folder / "case_labels.csv").is_file():
            run(
                "pipeline",
                "phantom",
                *("--task", task, "--anatomy", str(self.anatomy), "--seed", str(SEEDS[task][is_test])),
                *("--cases", str(self.test if is_test else self.train), "--repeat", str(REPEAT[task][is_test])),
                *("--workers", str(self.workers), "--output", str(folder), *more),
            )
        return folder

    def workspace(self, task: Task, system: str, part: Literal["train", "test"]) -> Path:
        """Returns a workspace of ROI crops as a system needs them; one for all whose crops and plan are the same."""
        recipe, options = system.partition("@")[0], recipe_options(system, self.changes(task, system))
        labels = "three" if recipe in THREE_LABELS else "all"
        plan = "slices" if recipe == SLICES else "resenc" if recipe in RESIDUAL else recipe
        root = self.root / "-".join([task, part, labels, *([plan] if part == "train" else [])])
        if not (root / FINISHED).is_file():
            source, workers = str(self.cohort(task, part)), ("--workers", str(self.workers))
            place = ("--output", str(root), "--folds", str(FOLDS if part == "train" else 2))
            run("stage2_multitask", "prepare", "--input", source, *place, *workers, *options)
            if part == "train":
                run("stage2_multitask", "plan", "--workspace", str(root), *workers, *options)
            (root / FINISHED).touch()
        return root

    def changes(self, task: Task, system: str) -> list[str]:
        """Returns what the study sets in a system's recipe: sizes, budget and classes."""
        recipe = system.partition("@")[0]
        slices = recipe == SLICES
        changed = [
            *GRID,
            "planner=recipe",
            f"encoder={'resenc' if recipe in RESIDUAL else 'plain'}",
            SLICE_LEVELS if slices else LEVELS,
            f"patch_size={SLICE if slices else VOLUME}",
            f"batch_size={16 if slices else 2}",
            f"epochs={self.epochs}",
            f"iterations_per_epoch={self.steps}",
            "validation_iterations=10",
            "augmentation=light",
            "early_stopping_share=none",
            f"class_names={CLASSES[task]}",
        ]
        if recipe in RESIDUAL:
            changed.append(f"blocks_per_level={'[1,2,2,2]' if slices else '[1,2,2,2,2]'}")
        if recipe == "panorama-fpn" and task == "subtypes":
            changed.append("class_loss.weights=equal")
        return changed

    def model(
        self,
        task: Task,
        system: str,
        name: str = "",
        variant: Sequence[str] = (),
        *,
        label: str = "",
        exported: Sequence[str] = (),
    ) -> Path:
        """Trains and exports a system where that was not done; returns the stage folder.

        Args:
            task: what is told apart.
            system: name of a recipe, perhaps with `@` and a variant.
            name: name of the run; the recipe's if not given.
            variant: further fields to set.
            label: name of the stage folder; the run's if not given.
            exported: fields that only the export sets.
        """
        run_name = name or system.replace("@", ".")
        folder = self.root / "models" / task / (label or run_name)
        if not (folder / "model.json").is_file():
            changes = [*self.changes(task, system), *variant, *([f"name={name}"] if name else [])]
            place = ("--workspace", str(self.workspace(task, system, "train")))
            run("stage2_multitask", "train", *place, "--fold", FOLD, "--workers", "0", *recipe_options(system, changes))
            options = recipe_options(system, [*changes, *exported])
            run("stage2_multitask", "export", *place, "--output", str(folder), "--trained-on", TRAINED_ON, *options)
        return folder

    def evaluation(self, task: Task, system: str, model: Path, label: str, options: Sequence[str] = ()) -> Path:
        """Evaluates a stage folder on the test cohort where that was not done; returns the folder of the evaluation.

        Args:
            task: what is told apart.
            system: the recipe, which says how the crops are labelled.
            model: the stage folder.
            label: name of the evaluation.
            options: options of `stage2-multitask evaluate` that replace the study's.
        """
        output = self.root / "evaluations" / task / label
        if not (output / "metrics.json").is_file():
            place = ("--model", str(model), "--input", str(self.workspace(task, system, "test")))
            run("stage2_multitask", "evaluate", *place, "--output", str(output), *SCORING, *options)
        return output


def recipe_options(system: str, changes: Sequence[str]) -> list[str]:
    """Returns the options that name a recipe and change its fields."""
    return ["--recipe", system, *(part for change in changes for part in ("--set", change))]


def run(*arguments: str) -> None:
    """Runs one of the project's commands; ends with its exit code where it fails, as it has said why."""
    status = subprocess.run([sys.executable, "-m", *arguments], check=False).returncode
    if status:
        print(f"stopped at: {' '.join(arguments)}", file=sys.stderr)
        sys.exit(status)


def study_of(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Study]:
    """Adds the study's options to a command line; returns the options and the study that they describe."""
    parser.add_argument("--anatomy", type=Path, required=True, help="folder of PANORAMA label maps")
    parser.add_argument("--output", type=Path, required=True, help="folder of the study; finished parts are kept")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this task; repeatable")
    parser.add_argument("--train", type=int, default=1000, help="training phantoms of each task (default: 1000)")
    parser.add_argument("--test", type=int, default=200, help="test phantoms of each task (default: 200)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each training (default: 20)")
    parser.add_argument("--steps", type=int, default=250, help="steps of each epoch (default: 250)")
    parser.add_argument("--workers", type=int, default=2, help="processes that render and prepare (default: 2)")
    given = parser.parse_args(arguments)
    return given, Study(given.output, given.anatomy, given.train, given.test, given.epochs, given.steps, given.workers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems", description=__doc__)
    parser.add_argument("--system", action="append", help="only this system: NAME or NAME@VARIANT; repeatable")
    parser.add_argument("--cohorts-only", action="store_true", help="render the cohorts and stop")
    parser.add_argument("--tables-only", action="store_true", help="train nothing; print what is there")
    options, study = study_of(parser, arguments)
    tasks = options.task or TASKS
    if options.cohorts_only:
        for task in tasks:
            study.cohort(task, "train")
        return 0
    for task in tasks if not options.tables_only else ():
        for system in options.system or SYSTEMS:
            study.evaluation(task, system, study.model(task, system), system.replace("@", "."))
    document = print_tables(study.root / "evaluations", TASKS, SYSTEMS)
    write_json(study.root / "systems.json", document)
    print(json.dumps(document["bounds"]))
    return 0 if all(bound["reached"] for bound in document["bounds"]) else 1


if __name__ == "__main__":
    sys.exit(main())

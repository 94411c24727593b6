"""What each part of our recipe brings: `python -m benchmarks.ablations --anatomy DIR --output DIR`.

Each run changes one thing of `flagship`, at a third of the systems study's budget; the folder is the study's, and
whatever it holds already is kept. The recipe is designed by these figures, so they are of the fold that is held out of
training: the test cohort stays unseen. Prints a table in Markdown, the differences paired on the same cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.systems_recipes import BLOCKS, Job, Task
from benchmarks.systems_study import Study, study_of
from benchmarks.systems_table import OURS, Result, difference_row, differences, markdown, row_of
from ctcore.json_files import write_json

REFERENCE = "third"

TRAINED: Mapping[str, Sequence[str]] = {
    REFERENCE: (),
    "head-gap": ('head={kind="gap"}',),
    "head-without-attention": ("head.evidence=false", "head.attention=[]"),
    "head-without-evidence": ("head.evidence=false",),
    "head-average-only": ("head.pooling=average",),
    "head-smooth-all": ("head.smoothing=all",),
    "phases-none": ("phases.segmentation=0", "phases.head=0"),
    "phases-longer-head": ("phases.head=0.2",),
    "balance-class-3": ("balance.classification=3",),
    "balance-uncertainty": ('balance={kind="uncertainty"}',),
    "class-weights-equal": ("class_loss.weights=equal",),
    "cases-balanced": ("patches.cases=balanced",),
    "mirrored": ("mirror=true",),
    "rate-a-third": ("learning_rate=1e-3",),
    "muon": ("optimizer=muon",),
}
"""Runs that are trained, by the fields that they change."""

SMALL = ("patch_size=[32,32,32]", "batch_size=9", "oversample_foreground=0.5")
"""Patches that show a part of the gland, as many of them as have the voxels of two whole ROIs."""

PARTS: Mapping[str, Sequence[str]] = {
    "parts": SMALL,
    "parts-of-lesions": (*SMALL, "patches.centre=lesion"),
    "parts-weighed": (*SMALL, "patches.least_weight=0.1"),
    "parts-of-lesions-weighed": (*SMALL, "patches.centre=lesion", "patches.least_weight=0.1"),
}
"""Runs in which a patch need not hold what its case's class says: drawn anywhere or around lesions, and weighed by
what it holds of lesion or gland."""

SCORED: Mapping[str, Sequence[str]] = {
    "fusion-half": ("--weight", "0.5"),
    "fusion-max": ("--fusion", "max"),
    "fusion-product": ("--fusion", "product"),
    "fusion-noisy-or": ("--fusion", "noisy-or"),
    "candidates-unweighed": ("--no-weigh-candidates",),
}
"""Evaluations of the reference with other options."""

GROWTH_FACTORS = (2.5, 10.0, 15.0)
"""Evaluations of the reference with larger or smaller candidates."""

STRONGER = 0.05
"""Least confidence of an evaluation of the reference without the weakest candidates."""

AGGREGATED = ("mean", "max")
"""Evaluations of the reference with another aggregation of the windows."""


PLANNED: Mapping[str, Sequence[str]] = {"encoder-resenc": ("encoder=resenc", BLOCKS)}
"""Runs with a plan of their own."""

LABELS: Mapping[str, Sequence[str]] = {
    "labels-three": (
        "labels={background=0,pancreas=1,lesion=2}",
        'merged_labels={"pancreatic duct"="pancreas",veins="background",arteries="background",'
        '"common bile duct"="background"}',
    ),
}
"""Runs with other labels, hence with other crops: pancreas and lesion alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    options, study = study_of(parser, arguments)
    third = replace(study, epochs=max(1, study.epochs // 3))
    document = {}
    tasks: Sequence[Task] = options.task or ("pdac",)
    for task in tasks:
        found = run_all(third, task)
        document[task] = {name: row_of(name, result.metrics) for name, result in found.items()}
        print(f"\n### {task}\n\n{markdown(list(document[task].values()))}\n")
        rows = [difference_row(name, differences(found[REFERENCE], found[name])) for name in found if name != REFERENCE]
        print(markdown(rows))
    write_json(options.output / "ablations.json", document)
    print(json.dumps(document))
    return 0


def run_all(study: Study, task: Task) -> dict[str, Result]:
    """Trains and evaluates every change of a task; returns the results by name, the reference first."""

    def job(name: str, changes: Sequence[str], plan: str = "", crops: str = "") -> Job:
        """Returns a run."""
        return Job(task, OURS, f"ablation-{name}", changes, plan=plan, crops=crops, evaluated_as=f"ablations/{name}")

    trained = [job(name, changes) for name, changes in TRAINED.items()]
    trained += [job(name, changes, "flagship-parts") for name, changes in PARTS.items()]
    trained += [job(name, changes, f"flagship-{name}") for name, changes in PLANNED.items()]
    trained += [job(name, changes, "flagship", "three") for name, changes in LABELS.items()]
    reference = trained[0]
    scored = [replace(reference, scoring=rule, evaluated_as=f"ablations/{name}") for name, rule in SCORED.items()]
    factors = [(factor, (("dynamic_threshold_factor", factor),)) for factor in GROWTH_FACTORS]
    scored += [replace(reference, candidates=c, evaluated_as=f"ablations/growth-{f:g}") for f, c in factors]
    stronger = (("min_confidence", STRONGER),)
    scored.append(replace(reference, candidates=stronger, evaluated_as=f"ablations/confidence-{STRONGER:g}"))
    aggregated = [
        replace(reference, exported=[f"aggregation={rule}"], evaluated_as=f"ablations/aggregation-{rule}")
        for rule in AGGREGATED
    ]

    def train_and_hold_out(job: Job) -> None:
        """Trains a run and evaluates it."""
        study.train_folds(job)
        study.held_out(job)

    for run in trained:  # all cores prepare one
        study.workspace(run)
    study.at_once(train_and_hold_out, trained)
    study.at_once(study.held_out, [*scored, *aggregated])
    return {Path(run.label).name: Result.read(study.held_out(run)) for run in (*trained, *scored, *aggregated)}


if __name__ == "__main__":
    sys.exit(main())

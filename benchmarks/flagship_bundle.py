"""A bundle of our recipe: `python -m benchmarks.flagship_bundle --anatomy DIR --output DIR`.

Trains `flagship` on the systems study's phantoms for PDAC, unless the study's folder holds it already, packs it with
the localizer of the demonstration bundle, and calibrates the fused score on phantoms of the fold that it did not train
on, those around maps as they are. The bundle is `flagship-bundle` in that folder. Trained on phantoms, it is a
demonstration as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.commands import run
from benchmarks.systems_recipes import FOLD, Job
from benchmarks.systems_study import TRAINED_ON, WEIGHED, Study, study_of
from benchmarks.systems_table import OURS
from ctcore.datasets.decathlon import CASE_LABELS_FILE
from ctcore.nnunet.training.validation import validation_ids
from pipeline.bundle import DEMO_BUNDLE
from stage2_multitask.dataset import workspace_at

VALIDATION_CASES = 150
DESCRIPTION = "Our recipe, trained on phantoms around real label maps; not for clinical use"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flagship_bundle", description=__doc__)
    options, study = study_of(parser, arguments)
    make_bundle(replace(study, parallel=1), options.output / "flagship-bundle")
    return 0


def make_bundle(study: Study, output: Path) -> None:
    """Trains where that was not done; makes the bundle, calibrates it and replaces one that is there."""
    job = Job("pdac", OURS, OURS)
    model, cohort, work = study.model(job), study.cohort("pdac", "train"), study.root / "flagship-validation"
    parts = ("--stage1", str(DEMO_BUNDLE / "stage1"), "--stage2", str(model), *study.candidates(), WEIGHED)
    named = ("--name", OURS, "--description", DESCRIPTION, "--demo", "--overwrite")
    run("pipeline", "bundle", "create", *parts, *named, "--output", str(work / "bundle"))

    held_out = validation_ids(workspace_at(study.workspace(job)), FOLD)
    images = work / "imagesTr"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    names = (f"{case_id}_0000.nii.gz" for case_id in held_out)
    for name in [name for name in names if (cohort / "imagesTr" / name).is_file()][:VALIDATION_CASES]:
        os.link(cohort / "imagesTr" / name, images / name)
    predictions = ("--output", str(work / "run"), "--no-report", "--overwrite")
    run("pipeline", "run", "--bundle", str(work / "bundle"), "--input", str(images), *predictions)
    fitted = ("--fusion", "mean", "--sensitivity", "0.95", "--specificity", "0.95")
    run(
        *("pipeline", "bundle", "calibrate", "--bundle", str(work / "bundle"), "--predictions", str(work / "run")),
        *("--case-labels", str(cohort / CASE_LABELS_FILE), "--fitted-on", f"{TRAINED_ON}, held out", *fitted),
        *("--output", str(output), "--overwrite"),
    )


if __name__ == "__main__":
    sys.exit(main())

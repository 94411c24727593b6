"""Five published systems and ours, side by side: `python -m benchmarks.systems --anatomy DIR --output DIR`.

The same phantoms around real label maps, as they are and bent, the same grid, width and number of steps for all; what
makes a system itself (encoder, head, losses, balance, phases, optimiser, patches, aggregation) is its recipe's. Two
tasks: PDAC or not, and three lesion subtypes. The command can be stopped and started again. Writes `systems.json` and
prints its tables.

Exit code: 0 every bound reached, 1 one missed or not measured yet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.systems_recipes import SLICES, TASKS, Job
from benchmarks.systems_study import study_of
from benchmarks.systems_table import print_tables
from ctcore.json_files import write_json

FIVE_FOLDS = ("0", "1", "2", "3", "4")
SYSTEMS = ("masked-gem", "slice-ensemble", "gap", "panorama-fpn", "dual-decoder", "flagship")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems", description=__doc__)
    parser.add_argument("--system", action="append", help="only this system: NAME or NAME@VARIANT; repeatable")
    parser.add_argument("--five-folds", action="store_true", help="also slice-ensemble's five folds, as in its report")
    parser.add_argument("--cohorts-only", action="store_true", help="render the cohorts and stop")
    parser.add_argument("--tables-only", action="store_true", help="train nothing; print what is there")
    options, study = study_of(parser, arguments)
    tasks = options.task or TASKS
    if options.cohorts_only:
        for task in tasks:
            study.cohorts(task, "train")
        return 0
    for task in tasks if not options.tables_only else ():
        systems = options.system or SYSTEMS
        jobs = [Job(task, system, system.replace("@", ".")) for system in systems]
        study.train_and_evaluate(jobs)
        if options.five_folds:  # fold 0 is the system's, which is there now
            five = Job(task, SLICES, SLICES, folds=FIVE_FOLDS, evaluated_as=f"{SLICES}.five-folds")
            study.train_and_evaluate([five])
    document = print_tables(study.measured, study.root, TASKS, SYSTEMS)
    write_json(study.root / "systems.json", document)
    print(json.dumps(document["bounds"]))
    return 0 if all(bound["reached"] for bound in document["bounds"]) else 1


if __name__ == "__main__":
    sys.exit(main())

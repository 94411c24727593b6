"""What the classification head costs in a training step: `python -m benchmarks.multitask_training --output DIR`.

nnU-Net's own trainer, the multi-task trainer while it trains the segmentation alone, and the same while it trains both
tasks take the same steps: same plan, same batches, turn and turn about in one process, at the precision that nnU-Net
uses on the device. Prints the bounds beside their figures and, as its last line, all figures as one JSON object. Exit
code: 0 bounds reached, 1 one missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, closing, print_bounds, print_figures
from benchmarks.commands import run
from benchmarks.systems_recipes import GRID, LEVELS, PYRAMID, VOLUME
from benchmarks.training import PEER, PHANTOM_SEED, PHANTOMS, WARM_UP, take_turns
from ctcore.datasets.case_labels import read_case_labels
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.training.precision import Precision
from ctcore.nnunet.workspace import CONFIGURATION, Workspace
from stage2_multitask.dataset import workspace_at
from stage2_multitask.recipe import MultiTaskRecipe, load
from stage2_multitask.trainer import class_indices

MAX_RATIO = 1.05
ALONE = "segmentation alone"
BOTH = "segmentation and head"

AS_NNUNET = ("augmentation=light", "optimizer=sgd", "schedule=poly", "ema_decay=none")
"""What nnU-Net's trainer fixes."""
STUDY = (*GRID, LEVELS, *PYRAMID, f"patch_size={VOLUME}", "planner=recipe")
"""The grid and width of the systems study."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multitask_training", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; a workspace that lies there is kept")
    parser.add_argument("--recipe", default="flagship", help="a stage-2 recipe (default: flagship)")
    parser.add_argument("--as-published", action="store_true", help="at the recipe's own size (default: the study's)")
    parser.add_argument("--steps", type=int, default=30, help="counted steps of each trainer (default: 30)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options = parser.parse_args(arguments)
    changes = AS_NNUNET if options.as_published else (*STUDY, *AS_NNUNET)
    recipe = load(options.recipe, changes)

    workspace = make_workspace(options.output, options.recipe, changes)
    seconds = measure(workspace, recipe, options.device, options.steps)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    bounds = [
        Bound("head", f"{BOTH} against {ALONE}", medians[BOTH] / medians[ALONE], "at most", MAX_RATIO),
        Bound("step", f"{ALONE} against {PEER}", medians[ALONE] / medians[PEER], "at most", MAX_RATIO),
    ]
    print_bounds(bounds)
    figures: list[tuple[str, Any]] = [(f"seconds a step, {name}", value) for name, value in medians.items()]
    print_figures(f"{options.steps} steps of batch {recipe.batch_size}, patch {recipe.patch_size}", figures)
    return closing(bounds, device=options.device, seconds=seconds)


def make_workspace(output: Path, recipe: str, changes: Sequence[str]) -> Workspace:
    """Renders phantoms, prepares and plans them, unless that was done before."""
    root = output / "workspace"
    if not workspace_at(root).plans_file.is_file():
        phantoms = output / "phantoms"
        if not (phantoms / "case_labels.csv").is_file():
            run("pipeline", "phantom", "--cases", str(PHANTOMS), "--seed", str(PHANTOM_SEED), "--output", str(phantoms))
        options = ("--recipe", recipe, *(part for change in changes for part in ("--set", change)))
        run("stage2_multitask", "prepare", "--input", str(phantoms), "--output", str(root), "--folds", "2", *options)
        run("stage2_multitask", "plan", "--workspace", str(root), *options)
    return workspace_at(root)


def measure(workspace: Workspace, recipe: MultiTaskRecipe, device: str, steps: int) -> dict[str, list[float]]:
    """Lets all trainers take the same steps and returns the seconds of each step by trainer."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from stage2_multitask.multitask_trainer import MultiTaskTrainer

    arguments: dict[str, Any] = {
        "configuration": CONFIGURATION,
        "fold": 0,
        "dataset_json": workspace.dataset_json(),
        "device": torch.device(device),
    }

    def plans() -> dict[str, Any]:
        return workspace.plans() | {"continue_training": False}

    def ours(segmentation: float) -> MultiTaskTrainer:
        trainer = MultiTaskTrainer(plans(), **arguments)
        trainer.case_classes = class_indices(read_case_labels(workspace.case_labels_file), recipe.class_names)
        phases = recipe.phases.model_copy(update={"segmentation": segmentation, "head": 0.0})
        same: Precision = "fp16" if device.startswith("cuda") else "fp32"
        trainer.configure(recipe.model_copy(update={"phases": phases}), precision=same)
        return trainer

    with nnunet_environment(workspace.root, results=workspace.root / "benchmark", augmentation_workers=0):
        trainers: dict[str, Any] = {PEER: nnUNetTrainer(plans(), **arguments), ALONE: ours(1.0), BOTH: ours(0.0)}
        for trainer in trainers.values():
            trainer.initialize()
            trainer.on_train_epoch_start()
        batches, _ = trainers[PEER].get_dataloaders()
        return take_turns(trainers, [next(batches) for _ in range(WARM_UP + steps)], device)


if __name__ == "__main__":
    sys.exit(main())

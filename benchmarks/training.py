"""A training step beside nnU-Net's: `python -m benchmarks.training --output DIR`.

nnU-Net's own trainer and this project's take the same steps: same plan, same batches, turn and turn about in one
process, at the precision that nnU-Net uses on the device. Prints the bound beside its figure and, as its last line, all
figures as one JSON object. Exit code: 0 bound reached, 1 missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, print_bounds, print_figures
from benchmarks.commands import run
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.workspace import CONFIGURATION, Workspace
from stage1_localizer.dataset import workspace_at
from stage1_localizer.recipe import load

MAX_RATIO = 1.05
PHANTOM_SEED = 9004
PHANTOMS = 8
WARM_UP = 3
"""Steps that are not counted: memory is allocated and kernels are chosen in them."""

PEER = "nnU-Net"
OURS = "this project"
WITH_AVERAGE = "with a moving average of the weights"
HALF = "in bfloat16"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="work folder; a workspace that lies there is kept")
    parser.add_argument("--recipe", default="demo", help="a stage-1 recipe (default: demo)")
    parser.add_argument("--steps", type=int, default=30, help="counted steps of each trainer (default: 30)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options = parser.parse_args(arguments)
    recipe: TrainingRecipe = load(options.recipe)
    # What nnU-Net's trainer fixes and a recipe may change.
    recipe = recipe.model_copy(update={"optimizer": "sgd", "schedule": "poly", "ema_decay": None, "mirror": True})

    seconds = measure(make_workspace(options.output, options.recipe), recipe, options.device, options.steps)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [one / other for one, other in zip(seconds[OURS], seconds[PEER], strict=True)]
    ratio = medians[OURS] / medians[PEER]
    bounds = [Bound("step", "median seconds against nnU-Net's", ratio, "at most", MAX_RATIO)]
    print_bounds(bounds)
    figures: list[tuple[str, Any]] = [(f"seconds a step, {name}", value) for name, value in medians.items()]
    figures += [("median of the ratios of neighbouring steps", statistics.median(ratios))]
    figures += [(f"{name}, against nnU-Net's", medians[name] / medians[PEER]) for name in (WITH_AVERAGE, HALF)]
    print_figures(f"{options.steps} steps of batch {recipe.batch_size}, patch {recipe.patch_size}", figures)
    document = {"bounds": [bound.as_dict() for bound in bounds], "device": options.device, "median_seconds": medians}
    print(json.dumps(document | {"seconds": seconds}))
    return 0 if all(bound.reached for bound in bounds) else 1


def make_workspace(output: Path, recipe: str) -> Workspace:
    """Renders phantoms, prepares and plans them, unless that was done before."""
    root = output / "workspace"
    if not workspace_at(root).plans_file.is_file():
        phantoms = output / "phantoms"
        if not (phantoms / "case_labels.csv").is_file():
            run("pipeline", "phantom", "--cases", str(PHANTOMS), "--seed", str(PHANTOM_SEED), "--output", str(phantoms))
        place = ("--output", str(root), "--recipe", recipe, "--folds", "2")
        run("stage1_localizer", "prepare", "--input", str(phantoms), *place)
        run("stage1_localizer", "plan", "--workspace", str(root), "--recipe", recipe)
    return workspace_at(root)


def measure(workspace: Workspace, recipe: TrainingRecipe, device: str, steps: int) -> dict[str, list[float]]:
    """Lets all trainers take the same steps and returns the seconds of each step by trainer."""
    with nnunet_environment(workspace.root, results=workspace.root / "benchmark", augmentation_workers=0):
        trainers = make_trainers(workspace, recipe, device)
        batches, _ = trainers[PEER].get_dataloaders()
        return take_turns(trainers, [next(batches) for _ in range(WARM_UP + steps)], device)


def make_trainers(workspace: Workspace, recipe: TrainingRecipe, device: str) -> dict[str, Any]:
    """Returns the trainers by name, ready for a step."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from ctcore.nnunet.training.trainer import RecipeTrainer

    def arguments() -> dict[str, Any]:
        return {
            "plans": workspace.plans() | {"continue_training": False},
            "configuration": CONFIGURATION,
            "fold": 0,
            "dataset_json": workspace.dataset_json(),
            "device": torch.device(device),
        }

    def ours(precision: Any, **changes: Any) -> RecipeTrainer:
        trainer = RecipeTrainer(**arguments())
        trainer.configure(recipe.model_copy(update=changes), precision=precision)
        return trainer

    same = "fp16" if device.startswith("cuda") else "fp32"
    trainers = {
        PEER: nnUNetTrainer(**arguments()),
        OURS: ours(same),
        WITH_AVERAGE: ours(same, ema_decay=0.99),
        HALF: ours("bf16"),
    }
    for trainer in trainers.values():
        trainer.initialize()
        trainer.on_train_epoch_start()
    return trainers


def take_turns(trainers: Mapping[str, Any], batches: Sequence[Any], device: str) -> dict[str, list[float]]:
    """Times every trainer's step on every batch; who begins changes from batch to batch."""
    import torch

    def finish() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number, batch in enumerate(batches):
        names = list(trainers)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            finish()
            begin = time.perf_counter()
            trainers[name].train_step(batch)
            finish()
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    sys.exit(main())

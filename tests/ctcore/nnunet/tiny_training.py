"""A planned workspace of random cases, and trainings of it in this process or in others that may be killed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctcore.json_files import write_json
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.planning.architecture import planned_size
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.distributed import VARIABLES
from ctcore.nnunet.training.fold import train_fold
from ctcore.nnunet.training.fold_files import WEIGHTS_NAME
from ctcore.nnunet.training.trainer import RecipeTrainer
from ctcore.nnunet.workspace import Workspace
from tests.apart import APART
from tests.ctcore.nnunet.conftest import DATASET_NAME, make_recipe

CASES = ("a", "b", "c", "d")
SECONDS = 120
"""Longer than any process here should need."""


def tiny_plans(recipe: TrainingRecipe) -> dict[str, Any]:
    """nnU-Net's plan of a recipe, as far as training reads it."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": DATASET_NAME,
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": {},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": recipe.batch_size,
                "patch_size": list(planned_size(recipe.patch_size or (16, 16, 16))),
                "spacing": list(recipe.spacing_mm),
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "batch_dice": recipe.batch_dice,
                "architecture": architecture_of(recipe),
            }
        },
    }


def make_workspace(root: Path, recipe: TrainingRecipe | None = None) -> Workspace:
    """Writes four preprocessed cases of 20 x 20 x 20 voxels whose bright voxels are pancreas; two folds."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    workspace = Workspace(root, DATASET_NAME)
    workspace.write_dataset_json({"background": 0, "pancreas": 1}, len(CASES))
    write_json(workspace.plans_file, tiny_plans(recipe or make_recipe()))
    write_json(workspace.preprocessed / "dataset_fingerprint.json", {})
    folds = [{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["c", "d"], "val": ["a", "b"]}]
    write_json(workspace.preprocessed / "splits_final.json", folds)
    folder = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    folder.mkdir()
    for number, case_id in enumerate(CASES):
        image = np.random.default_rng(number).normal(size=(1, 20, 20, 20)).astype(np.float32)
        image[:, 5:14, 6:12, 4:15] += 2
        label = (image > 1).astype(np.int16)
        where = np.argwhere(label == 1)
        shape = (1, 20, 20, 20)
        nnUNetDatasetBlosc2.save_case(
            image, label, {"class_locations": {1: where}}, str(folder / case_id), chunks=shape, blocks=shape
        )
    return workspace


def train_tiny(root: Path, changes: dict[str, Any] | None = None, *, trainer: Any = None, **options: Any) -> Path:
    """Trains fold 0 in float32 without nnU-Net's plot, which takes longer than the training."""
    from nnunetv2.training.logging.nnunet_logger import MetaLogger

    torch.set_num_threads(1)
    MetaLogger.plot_progress_png = lambda *_: None
    settings = {"precision": "fp32", "workers": 0} | options
    recipe = make_recipe(**({"epochs": 3, "ema_decay": 0.9} | (changes or {})))
    return train_fold(Workspace(root, DATASET_NAME), recipe, "0", trainer or RecipeTrainer, **settings)  # type: ignore[arg-type]


def weights_of(folder: Path) -> bytes:
    """The file that a finished fold is about."""
    return (folder / WEIGHTS_NAME).read_bytes()


def make_trainer(root: Path, *, device: str = "cpu", precision: Any = "fp32", **changes: Any) -> RecipeTrainer:
    """Makes an initialised trainer of fold 0; to be called inside nnU-Net's environment."""
    workspace = Workspace(root, DATASET_NAME)
    trainer = RecipeTrainer(
        plans=workspace.plans() | {"continue_training": False},
        configuration="3d_fullres",
        fold=0,
        dataset_json=workspace.dataset_json(),
        device=torch.device(device),
    )
    trainer.configure(make_recipe(**changes), precision=precision)
    trainer.initialize()
    return trainer


def environment_of(root: Path) -> Any:
    """nnU-Net's environment of a tiny workspace."""
    return nnunet_environment(root, augmentation_workers=0)


def die() -> None:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(owner: Any, name: str, number: int, *, halfway: bool = False) -> None:
    """Lets this process die when a function is called for the n-th time.

    With `halfway` the function is torch.save: half of its file is written first.
    """
    calls = 0
    original = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < number:
            return original(*args, **kwargs)
        if halfway:
            original(*args, **kwargs)
            os.truncate(args[1], os.path.getsize(args[1]) // 2)  # noqa: PTH202
        return die()

    setattr(owner, name, counted)


def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Starts a function in a process of its own."""
    process = APART.Process(target=function, args=args, kwargs=kwargs)
    process.start()
    return process


def exit_code_of(process: Any) -> int:
    """Waits for a process; ends one that does not end."""
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError("the process did not end")
    return int(process.exitcode)


def _as_rank(rank: int, size: int, port: int, answer: Connection, function: Callable[..., Any], *args: Any) -> None:
    values = (rank, rank, size, "127.0.0.1", port)
    os.environ.update({name: str(value) for name, value in zip(VARIABLES, values, strict=True)})
    torch.set_num_threads(1)
    try:
        answer.send(function(*args))
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


def on_ranks(size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Calls a function in several processes as torchrun would start them; returns their answers, or error messages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [APART.Pipe(duplex=False) for _ in range(size)]
    processes = [start(_as_rank, rank, size, port, pipes[rank][1], function, *args) for rank in range(size)]
    for _, writer in pipes:
        writer.close()
    answers = []
    for process, (reader, _) in zip(processes, pipes, strict=True):
        try:
            answers.append(reader.recv() if reader.poll(SECONDS) else "no answer")
        except EOFError:
            answers.append("no answer")
        exit_code_of(process)
    return answers


def shown(folder: Path, name: str) -> list[tuple[int, float]]:
    """What TensorBoard would show of a curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(name)] if name in reader.Tags()["scalars"] else []

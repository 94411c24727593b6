"""Running one fold of a trainer in a workspace."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from ctcore.durable import remove_partials, write_text
from ctcore.errors import DatasetError, RecipeError, RequestError
from ctcore.json_files import read_json, write_json
from ctcore.lock import locked, refuse_if_locked
from ctcore.nnunet.environment import nnunet_environment
from ctcore.nnunet.preparation.sources import holds_phantoms, sources_of
from ctcore.nnunet.provenance import check_planned, differences
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.fold_files import (
    ALL,
    BEST_HEAD_WEIGHTS_NAME,
    BEST_NAME,
    BEST_WEIGHTS_NAME,
    COURSE_NAME,
    CURVES_FOLDER,
    FINAL_NAME,
    INITIAL_WEIGHTS_NAME,
    LATEST_NAME,
    MLFLOW_NAME,
    PAGE_NAME,
    RECIPE_NAME,
    TRAINING_NAME,
    WEIGHTS_NAME,
)
from ctcore.nnunet.training.trained import results_folder
from ctcore.nnunet.workspace import CONFIGURATION, Workspace

if TYPE_CHECKING:
    from ctcore.nnunet.training.epochs import Progress
    from ctcore.nnunet.training.precision import Precision
    from ctcore.nnunet.training.trainer import RecipeTrainer


REMOVED_BY_RESTART = (
    WEIGHTS_NAME,
    BEST_WEIGHTS_NAME,
    BEST_HEAD_WEIGHTS_NAME,
    LATEST_NAME,
    FINAL_NAME,
    BEST_NAME,
    TRAINING_NAME,
    INITIAL_WEIGHTS_NAME,
    MLFLOW_NAME,
    COURSE_NAME,
    PAGE_NAME,
)


class TrainingOptions(TypedDict, total=False):
    """How to train; what is trained is the recipe's.

    Attributes:
        device: `cpu`, `cuda` or `cuda:N`.
        resume: whether to go on from the last checkpoint if there is one.
        workers: background processes that load and augment (of each training process); 0 does it between steps. The
            batches do not depend on it.
        precision: what the network computes in.
        deterministic: whether to choose GPU algorithms that give the same bits every time; they are slower.
        progress: called after every epoch, by the leader alone.
        init_from: weights to start from: a model folder or a file; random ones if not given.
        tell: called with a line about them, by the leader alone.
        mlflow: a folder or the URI of a server where MLflow keeps parameters and curves; None: it does not.
    """

    device: str
    resume: bool
    workers: int
    precision: Precision
    deterministic: bool
    progress: Progress | None
    init_from: Path | None
    tell: Callable[[str], None] | None
    mlflow: str | None


def train_fold(
    workspace: Workspace,
    recipe: TrainingRecipe,
    fold: str,
    make_trainer: Callable[..., RecipeTrainer],
    **options: Unpack[TrainingOptions],
) -> Path:
    """Trains one fold and writes the weights that inference should use.

    Started by torchrun, the processes share every batch; all of them return when the files are written.

    Args:
        workspace: a planned workspace.
        recipe: hyper-parameters.
        fold: `0`, `1`, ... of `splits_final.json`, or `all`.
        make_trainer: class of the trainer; called with nnU-Net's constructor arguments.
        **options: see `TrainingOptions`.

    Returns:
        The fold's folder; it holds `weights.safetensors` (of the last epoch), `weights_best.safetensors`, the recipe as
        trained, `training.json`, every epoch's figures and a page of them, TensorBoard's curves, and nnU-Net's log and
        plot.

    Raises:
        CheckpointError: the training cannot go on from what it left, or the weights to start from do not fit.
        DatasetError: nothing was planned, or the fold is not in the split.
        FolderInUseError: another process trains this fold, or prepares or plans the workspace.
        OutputError: a file could not be written in full.
        RecipeError: the workspace was planned with other values, or the fold begun with others under the same name.
        RequestError: the device cannot train in the precision asked for, the fold was begun from other weights, or
            MLflow is asked for and cannot be used.
        TrainingError: a batch could not be made, or another process failed.
    """
    from ctcore.nnunet.training import initial_weights
    from ctcore.nnunet.training.distributed import is_leader, process_group, wait_for_all
    from ctcore.nnunet.training.mlflow_run import check_mlflow
    from ctcore.nnunet.training.seeds import algorithms

    if options.get("mlflow") is not None:
        check_mlflow()
    plans = workspace.plans() | {"continue_training": False}
    check_planned(workspace, recipe)
    check_fold(workspace, fold)
    progress = options.get("progress")
    report = _on_this_console(progress) if progress is not None and is_leader() else None
    resume = options.get("resume", True)
    source = options.get("init_from")
    if recipe.initial_weights is not None:
        raise RecipeError(f"initial_weights of recipe '{recipe.name}' is written by training; give --init-from instead")
    results = results_folder(workspace, recipe.name)
    with (
        nnunet_environment(workspace.root, results=results, augmentation_workers=0),
        process_group(options.get("device", "cpu")) as device,
        algorithms(deterministic=options.get("deterministic", False)),
        contextlib.ExitStack() as stack,
    ):
        trainer = make_trainer(
            plans=plans,
            configuration=CONFIGURATION,
            fold=fold if fold == ALL else int(fold),
            dataset_json=workspace.dataset_json(),
            device=device,
        )
        folder = Path(trainer.output_folder)
        stack.enter_context(_alone(workspace, folder, writes=is_leader()))
        origin = initial_weights.origin_of(source) if source is not None else None
        if resume:
            origin = initial_weights.origin_on_resume(folder, origin, begun=_has_begun(folder))
        recipe = recipe.model_copy(update={"initial_weights": origin})
        if resume:
            check_same_recipe(folder, recipe)
            if (folder / WEIGHTS_NAME).is_file():
                return folder
        trainer.configure(recipe, report, workers=options.get("workers", 1), precision=options.get("precision", "auto"))
        trainer.mlflow = options.get("mlflow")
        trainer.sources, trainer.phantoms = sources_of(workspace), holds_phantoms(workspace)
        wait_for_all()  # all have looked before the leader writes
        if is_leader():
            begin_folder(folder, recipe, resume=resume)
        wait_for_all()
        checkpoint = where_to_go_on(folder)
        if checkpoint is not None:
            trainer.load_checkpoint(str(checkpoint))
        elif source is not None and origin is not None:
            file = initial_weights.fold_file(source, fold)
            loaded = initial_weights.start_from(trainer, initial_weights.read_weights(file), file)
            if is_leader():
                record = {**origin.model_dump(), "file": file.name, **loaded.to_json()}
                write_json(folder / INITIAL_WEIGHTS_NAME, record)
                (options.get("tell") or (lambda _: None))(loaded.summary(origin))
        trainer.run_training()
        if is_leader():
            _finish_folder(folder, trainer)
        wait_for_all()
    return folder


def begin_folder(folder: Path, recipe: TrainingRecipe, *, resume: bool) -> None:
    """Writes the recipe into a fold's folder and removes what must not be mistaken for this training's."""
    remove_partials(folder)
    if not resume:  # else a restart that is interrupted would count as trained, or go on from the run before
        for name in REMOVED_BY_RESTART:
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / CURVES_FOLDER, ignore_errors=True)
    write_text(folder / RECIPE_NAME, recipe_text(recipe))


def _finish_folder(folder: Path, trainer: RecipeTrainer) -> None:
    from ctcore.nnunet.training.checkpoint import write_weights
    from ctcore.nnunet.training.training_page import refresh_pages

    write_json(folder / TRAINING_NAME, trainer.summary())
    write_weights(folder / WEIGHTS_NAME, trainer.trained_network())  # from now on the fold counts as trained
    refresh_pages(folder)


@contextlib.contextmanager
def _alone(workspace: Workspace, folder: Path, *, writes: bool) -> Iterator[None]:
    """Keeps other commands out of a fold's folder, where this process is the one that writes there."""
    if not writes:
        yield
        return
    with locked(folder):
        refuse_if_locked(workspace.root)
        yield


def _has_begun(folder: Path) -> bool:
    """Tells whether a fold has a state to go on from, or is trained."""
    return where_to_go_on(folder) is not None or (folder / WEIGHTS_NAME).is_file()


def where_to_go_on(folder: Path) -> Path | None:
    """Returns the checkpoint that an interrupted training of a fold goes on from; None where there is none."""
    for name in (LATEST_NAME, FINAL_NAME):  # the former becomes the latter just before the fold counts as trained
        if (folder / name).is_file():
            return folder / name
    return None


def recipe_text(recipe: TrainingRecipe) -> str:
    """Returns a recipe as the fold's folder keeps it."""
    return recipe.model_dump_json(indent=2) + "\n"


def check_same_recipe(folder: Path, recipe: TrainingRecipe) -> None:
    """Checks that a fold that was begun earlier was begun with this recipe.

    Raises:
        RecipeError: it was begun with other values under the same name.
    """
    path = folder / RECIPE_NAME
    if not path.is_file():
        return
    fields = type(recipe).model_fields.keys() - {"initial_weights"}  # these have been compared
    found = differences(read_json(path), recipe.model_dump(mode="json"), sorted(fields))
    if found:
        raise RecipeError(
            f"'{folder}' was begun with other values of recipe '{recipe.name}' ({found}); give this run a name of its"
            f" own with --set name={recipe.name}-2, or begin again with --restart"
        )


def _on_this_console(progress: Progress) -> Progress:
    """Returns a callback that writes where stdout points now, not where it points while nnU-Net is kept quiet."""
    console = sys.stdout

    def report(done: int, total: int, figures: dict[str, float]) -> None:
        with contextlib.redirect_stdout(console):
            progress(done, total, figures)

    return report


def check_fold(workspace: Workspace, fold: str) -> None:
    """Checks that a fold can be trained.

    Raises:
        RequestError: the fold is neither `all` nor a number.
        DatasetError: the split has no such fold.
    """
    if fold == ALL:
        return
    if not fold.isdigit():
        raise RequestError(f"fold '{fold}' is neither a number nor '{ALL}'")
    splits = read_json(workspace.preprocessed / "splits_final.json")
    if int(fold) >= len(splits):
        raise DatasetError(f"fold {fold} is not in the split, which has folds 0 to {len(splits) - 1}")

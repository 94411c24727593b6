"""The training commands that both stages' command lines share: prepare, plan, train, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from ctcore.console import EXIT_SOME_FAILED, progress, training_progress
from ctcore.datasets.description import Dataset, Layout
from ctcore.errors import RequestError
from ctcore.executor_options import Executor, ExecutorChoice, RayAddress, RayCpus, RayGpus, ray_request
from ctcore.nnunet.command_options import Changes, PrecisionChoice, Recipe, WeightsChoice, Workers, Workspace
from ctcore.nnunet.training.distributed import leader_speaks
from ctcore.nnunet.training.interruption import stoppable


class StageTraining(Protocol):
    """What a stage gives its training commands; each function is imported when it is first asked for.

    Attributes:
        title: the stage's name in messages.
        folder: the name of the stage's folder in a bundle.
        makes: what `prepare` makes of CTs with label maps.
    """

    title: str
    folder: str
    makes: str

    def needs(self, recipe: Any) -> dict[str, Any]:
        """Returns the `class_names` and `label_names` that training by a recipe needs; None where any will do."""

    def load(self, recipe: str, changes: Sequence[str] = ()) -> Any:
        """Reads a recipe of the stage by name or path, and replaces fields, each given as `FIELD=VALUE`."""

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> Any:
        """Writes the stage's raw dataset."""

    def workspace_at(self, root: Path) -> Any:
        """Returns the stage's workspace in a folder."""

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        """Trains one fold and returns its folder."""

    def export(self, root: Path, recipe: Any, output: Path, **options: Any) -> Any:
        """Writes the trained folds as a stage folder; the recipe names which, and holds the changed fields."""


@dataclass(frozen=True)
class FoldOfStage:
    """Trains a fold of a stage; can be sent to another process.

    Attributes:
        stage: the stage.
        workspace: where.
        recipe: by what.
        options: what else `StageTraining.train` takes.
    """

    stage: StageTraining
    workspace: Path
    recipe: Any
    options: dict[str, Any]

    def __call__(self, fold: str, resume: bool, **reports: Any) -> Path:
        """Trains a fold and returns its folder."""
        return self.stage.train(self.workspace, self.recipe, fold, resume=resume, **self.options, **reports)


def folds_of(text: str) -> list[str]:
    """Returns the folds in a text such as `0,2`, each once.

    Raises:
        RequestError: one is there twice, or none.
    """
    folds = [part.strip() for part in text.split(",")]
    if "" in folds or len(set(folds)) < len(folds):
        raise RequestError(f"folds '{text}' are not a list of different folds; write for instance --fold 0,2")
    return folds


def add_training_commands(app: typer.Typer, stage: StageTraining) -> None:
    """Adds prepare, plan, train and export to a stage's command line."""

    @app.command(help=f"Turns CTs with label maps into {stage.makes}.")
    def prepare(
        sources: Annotated[
            list[Path],
            typer.Option("--input", help="Folder of a dataset (see docs/datasets.md); repeatable."),
        ],
        output: Annotated[Path, typer.Option("--output", help="Workspace to make.", show_default=False)],
        dataset: Annotated[Layout, typer.Option(help="How the dataset is laid out.")] = Layout.NNUNET,
        recipe: Recipe = "demo",
        changes: Changes = None,
        splits: Annotated[
            Path | None, typer.Option(help="Folds to keep: splits_final.json or PANORAMA's.", show_default=False)
        ] = None,
        folds: Annotated[
            int, typer.Option(min=2, help="Folds to make where none are given, even in class and lesion size.")
        ] = 5,
        workers: Workers = 1,
        check_only: Annotated[bool, typer.Option("--check-only", help="Only say what is wrong with it.")] = False,
        skip_faulty: Annotated[bool, typer.Option("--skip-faulty", help="Leave out the cases with faults.")] = False,
    ) -> None:
        from ctcore.nnunet.preparation.dataset import read_datasets
        from ctcore.nnunet.workspace import alone

        settings = stage.load(recipe, changes or ())
        datasets = read_datasets(sources, dataset, splits)
        with alone(stage.workspace_at(output)):
            faulty = _examine(
                datasets, output, folds=folds, workers=workers, skip_faulty=skip_faulty, **stage.needs(settings)
            )
            if check_only:
                return
            with progress("preparing") as report:
                stage.prepare(
                    sources,
                    output,
                    settings,
                    layout=dataset,
                    splits=splits,
                    leave_out=faulty,
                    folds=folds,
                    workers=workers,
                    progress=report,
                )
        typer.echo(f"Dataset: {output}")

    @app.command(help="Runs nnU-Net's fingerprint, planner and preprocessing.")
    def plan(workspace: Workspace, recipe: Recipe = "demo", changes: Changes = None, workers: Workers = 1) -> None:
        from ctcore.nnunet.planning.plan import plan as plan_dataset
        from ctcore.nnunet.workspace import alone

        place = stage.workspace_at(workspace)
        settings = stage.load(recipe, changes or ())
        place.dataset_json()  # where nothing was prepared no lock is taken either
        with alone(place):
            plan_dataset(place, settings, workers=max(1, workers))
        typer.echo(f"Plan: {place.plans_file}")

    @app.command(help="Trains folds.")
    def train(
        workspace: Workspace,
        recipe: Recipe = "demo",
        changes: Changes = None,
        fold: Annotated[
            str, typer.Option(help="Fold of the split, several (0,1,2: one after the other), or all: of all cases.")
        ] = "0",
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        workers: Workers = 1,
        executor: Executor = ExecutorChoice.LOCAL,
        ray_address: RayAddress = None,
        ray_cpus: RayCpus = 1,
        ray_gpus: RayGpus = 0.0,
        resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on from the last checkpoint.")] = True,
        precision: Annotated[PrecisionChoice, typer.Option(help="What to compute in.")] = PrecisionChoice.AUTO,
        deterministic: Annotated[
            bool, typer.Option("--deterministic", help="The same bits every time on a GPU too; slower.")
        ] = False,
        init_from: Annotated[
            Path | None,
            typer.Option(
                "--init-from",
                help="Weights to start from where they fit: bundle, model folder, .safetensors, checkpoint.",
                show_default=False,
            ),
        ] = None,
        mlflow: Annotated[
            str | None,
            typer.Option(
                help="Also write parameters and curves to MLflow: a folder, or the URI of a server.", show_default=False
            ),
        ] = None,
    ) -> None:
        from ctcore.nnunet.training.initial_weights import stage_source

        folds = folds_of(fold)
        request = ray_request(executor, ray_address, ray_cpus, ray_gpus)
        if request is not None and bool(request.gpus) != device.startswith("cuda"):
            raise RequestError(
                f"--device {device} and --ray-gpus {request.gpus:g} contradict each other; give both or none"
            )
        train_fold = FoldOfStage(
            stage,
            workspace,
            stage.load(recipe, changes or ()),
            {
                "device": device,
                "workers": workers,
                "precision": precision.value,
                "deterministic": deterministic,
                "init_from": None if init_from is None else stage_source(init_from, stage.folder),
                "mlflow": mlflow,
            },
        )
        with leader_speaks(), stoppable():
            if request is not None:
                from ctcore.nnunet.training.folds_on_ray import train_folds

                with progress(f"{stage.title} folds") as report:
                    report(0, len(folds))
                    for done, name in enumerate(
                        train_folds(train_fold, folds, resume=resume, request=request), start=1
                    ):
                        report(done, len(folds))
                        typer.echo(f"Trained: fold {name}")
                return
            for name in folds:
                with training_progress(f"{stage.title} fold {name}") as report_epoch:
                    folder = train_fold(name, resume, progress=report_epoch, tell=report_epoch.say)
                typer.echo(f"Trained: {folder}")

    @app.command(name="training-report", help="Writes the curves of all folds as pages, as training does by itself.")
    def training_report(
        workspace: Workspace,
        recipe: Recipe = "demo",
        changes: Changes = None,
        output: Annotated[
            Path | None,
            typer.Option(help="Folder for the pages, else they lie beside the weights.", show_default=False),
        ] = None,
    ) -> None:
        from ctcore.nnunet.training.trained import results_folder
        from ctcore.nnunet.training.training_page import write_report

        place = stage.workspace_at(workspace)
        results = results_folder(place, stage.load(recipe, changes or ()).name)
        typer.echo(f"Page: {write_report(results, output)}")

    @app.command(help="Writes the trained folds as model.json and safetensors, for 'pipeline bundle create'.")
    def export(
        workspace: Workspace,
        output: Annotated[Path, typer.Option(help="Stage folder to write.", show_default=False)],
        trained_on: Annotated[str, typer.Option(help="The training data in words.", show_default=False)],
        recipe: Recipe = "demo",
        changes: Changes = None,
        checkpoint: Annotated[
            WeightsChoice, typer.Option(help="Weights after the last epoch, or of the best smoothed pseudo-Dice.")
        ] = WeightsChoice.LAST,
    ) -> None:
        settings = stage.load(recipe, changes or ())
        stage.export(
            workspace, settings, output, trained_on=trained_on, changes=changes or (), checkpoint=checkpoint.value
        )
        typer.echo(f"Model: {output}")


def _examine(datasets: list[Dataset], output: Path, *, skip_faulty: bool, **options: Any) -> frozenset[str]:
    """Shows and writes what is wrong with datasets, and returns the cases to leave out.

    Raises:
        Exit: something needs a person and is not to be skipped.
    """
    from rich.console import Console

    from ctcore.datasets.doctor.diagnosis import DOCTOR_FILE
    from ctcore.datasets.doctor.examine import examine
    from ctcore.json_files import write_json

    with progress("examining") as report:
        diagnosis = examine(datasets, progress=report, **options)
    write_json(output / DOCTOR_FILE, diagnosis.to_json())
    table = diagnosis.table()
    if table is not None:
        Console().print(table)
    for line in diagnosis.summary():
        typer.echo(line)
    typer.echo(f"Findings: {output / DOCTOR_FILE}")
    if diagnosis.dataset_faulty or (diagnosis.faulty and not skip_faulty):
        hint = "" if diagnosis.dataset_faulty else ", or pass --skip-faulty to leave these cases out"
        typer.echo(f"error: the dataset has faults; correct them{hint}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)
    return diagnosis.faulty

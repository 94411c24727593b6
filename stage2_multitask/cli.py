"""The `stage2-multitask` command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import OneLineGroup, progress, training_progress

app = typer.Typer(
    name="stage2-multitask",
    cls=OneLineGroup,
    help="Stage 2: train and run the multi-task network that segments lesions and classifies patients.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Workspace = Annotated[Path, typer.Option("--workspace", help="Folder that 'prepare' made.", show_default=False)]
Recipe = Annotated[str, typer.Option("--recipe", help="Name of a shipped recipe, or a .toml file.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that help.")]


@app.command()
def prepare(
    sources: Annotated[
        list[Path],
        typer.Option(
            "--input", help="Folder with imagesTr, labelsTr, case_labels.csv. Repeatable.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Workspace to make.", show_default=False)],
    recipe: Recipe = "demo",
    folds: Annotated[int, typer.Option(min=2, help="Folds of the split, stratified by class.")] = 5,
    workers: Workers = 1,
) -> None:
    """Turns CTs with label maps into an nnU-Net dataset of ROI crops."""
    from stage2_multitask.dataset import prepare as prepare_dataset
    from stage2_multitask.recipe import load

    settings = load(recipe)
    with progress("preparing") as report:
        prepare_dataset(sources, output, settings, folds=folds, workers=workers, progress=report)
    typer.echo(f"Dataset: {output}")


@app.command()
def plan(workspace: Workspace, recipe: Recipe = "demo", workers: Workers = 1) -> None:
    """Runs nnU-Net's fingerprint, planner and preprocessing."""
    from ctcore.nnunet.planning import plan as plan_dataset
    from stage2_multitask.dataset import workspace_at
    from stage2_multitask.recipe import load

    plan_dataset(workspace_at(workspace), load(recipe), workers=max(1, workers))
    typer.echo(f"Plan: {workspace_at(workspace).plans_file}")


@app.command()
def train(
    workspace: Workspace,
    recipe: Recipe = "demo",
    fold: Annotated[str, typer.Option(help="Fold of the split, or all.")] = "0",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Workers = 1,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on from the last checkpoint.")] = True,
) -> None:
    """Trains one fold."""
    from stage2_multitask.recipe import load
    from stage2_multitask.trainer import train as train_fold

    settings = load(recipe)
    with training_progress(f"stage 2 fold {fold}") as report:
        folder = train_fold(workspace, settings, fold, device=device, resume=resume, workers=workers, progress=report)
    typer.echo(f"Trained: {folder}")


@app.command()
def export(
    workspace: Workspace,
    output: Annotated[Path, typer.Option(help="Stage folder to write.", show_default=False)],
    trained_on: Annotated[str, typer.Option(help="The training data in words.", show_default=False)],
    recipe: Recipe = "demo",
) -> None:
    """Writes the trained folds as model.json and safetensors, for 'pipeline bundle create'."""
    from stage2_multitask.recipe import load
    from stage2_multitask.trainer import export as export_stage

    export_stage(workspace, load(recipe), output, trained_on=trained_on)
    typer.echo(f"Model: {output}")


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="Stage folder that 'export' made.", show_default=False)],
    source: Annotated[
        Path,
        typer.Option("--input", help="A folder of ROI crops, as 'prepare' makes them, or one.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", help="Folder for label maps and classes.csv.", show_default=False)
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Segments and classifies every ROI crop."""
    from stage2_multitask.predict import predict_folder

    with progress("predicting") as report:
        failed = predict_folder(model, source, output, device=device, progress=report)
    for case_id, reason in failed.items():
        typer.echo(f"failed {case_id}: {reason}", err=True)
    typer.echo(f"Label maps and classes.csv: {output}")
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line: the console script `stage2-multitask`."""
    app()

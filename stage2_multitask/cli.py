"""The `stage2-multitask` command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ctcore.console import OneLineGroup, progress
from ctcore.nnunet.commands import add_training_commands

app = typer.Typer(
    name="stage2-multitask",
    cls=OneLineGroup,
    help="Stage 2: train and run the multi-task network that segments lesions and classifies patients.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Training:
    """This stage's training, imported when a command needs it."""

    title = "stage 2"
    folder = "stage2"
    makes = "an nnU-Net dataset of ROI crops"

    def load(self, recipe: str, changes: Sequence[str] = ()) -> Any:
        """Reads a recipe, with fields replaced."""
        from stage2_multitask.recipe import load

        return load(recipe, changes)

    def needs(self, recipe: Any) -> dict[str, Any]:
        """Classes and labels: the recipe's."""
        return {"class_names": recipe.class_names, "label_names": tuple(recipe.labels)}

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> Any:
        """Writes the raw dataset."""
        from stage2_multitask.dataset import prepare

        return prepare(sources, root, recipe, **options)

    def workspace_at(self, root: Path) -> Any:
        """Returns the workspace in a folder."""
        from stage2_multitask.dataset import workspace_at

        return workspace_at(root)

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        """Trains one fold."""
        from stage2_multitask.trainer import train

        return train(root, recipe, fold, **options)

    def export(self, root: Path, recipe: Any, output: Path, **options: Any) -> Any:
        """Writes the trained folds."""
        from stage2_multitask.trainer import export

        return export(root, recipe, output, **options)


add_training_commands(app, Training())


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

"""The `stage1-localizer` command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ctcore.console import OneLineGroup, progress
from ctcore.nnunet.commands import add_training_commands

app = typer.Typer(
    name="stage1-localizer",
    cls=OneLineGroup,
    help="Stage 1: train and run the low-resolution nnU-Net that finds the pancreas.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Training:
    """This stage's training, imported when a command needs it."""

    title = "stage 1"
    makes = "a low-resolution nnU-Net dataset"

    def load(self, recipe: str, changes: Sequence[str] = ()) -> Any:
        """Reads a recipe, with fields replaced."""
        from stage1_localizer.recipe import load

        return load(recipe, changes)

    def needs(self, recipe: Any) -> dict[str, Any]:
        """Classes and labels: any will do, as only the pancreas counts."""
        del recipe
        return {"class_names": None, "label_names": None}

    def prepare(self, sources: list[Path], root: Path, recipe: Any, **options: Any) -> Any:
        """Writes the raw dataset."""
        from stage1_localizer.dataset import prepare

        return prepare(sources, root, recipe, **options)

    def workspace_at(self, root: Path) -> Any:
        """Returns the workspace in a folder."""
        from stage1_localizer.dataset import workspace_at

        return workspace_at(root)

    def train(self, root: Path, recipe: Any, fold: str, **options: Any) -> Path:
        """Trains one fold."""
        from stage1_localizer.trainer import train

        return train(root, recipe, fold, **options)

    def export(self, root: Path, recipe: Any, output: Path, **options: Any) -> Any:
        """Writes the trained folds."""
        from stage1_localizer.trainer import export

        return export(root, recipe, output, **options)


add_training_commands(app, Training())


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="Stage folder that 'export' made.", show_default=False)],
    source: Annotated[Path, typer.Option("--input", help="A folder of CTs, or one CT.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", help="Folder for masks and rois.json.", show_default=False)],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Finds the pancreas and the region of interest of every CT."""
    from stage1_localizer.predict import predict_folder

    with progress("locating") as report:
        failed = predict_folder(model, source, output, device=device, progress=report)
    for case_id, reason in failed.items():
        typer.echo(f"failed {case_id}: {reason}", err=True)
    typer.echo(f"Masks and rois.json: {output}")
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line: the console script `stage1-localizer`."""
    app()

"""The `stage1-localizer` command line."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctcore.console import EXIT_SOME_FAILED, OneLineGroup, progress
from ctcore.datasets.description import Layout
from ctcore.errors import RequestError
from ctcore.nnunet.command_options import (
    Changes,
    EvaluatedFolds,
    EvaluatedModel,
    EvaluatedRecipe,
    EvaluatedWeights,
    EvaluatedWorkspace,
    WeightsChoice,
)
from ctcore.nnunet.commands import add_training_commands

if TYPE_CHECKING:
    from stage1_localizer.margins import FoundMargins

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
    folder = "stage1"
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

        with progress("choosing margins") if isinstance(recipe.margin_mm, str) else nullcontext() as report:
            model = export(root, recipe, output, progress=report, **options)
        if model.margins_found is not None:
            _tell_margins(model.margins_found)
        return model


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


@app.command()
def evaluate(
    output: Annotated[Path, typer.Option(help="Folder for cases.csv, metrics.json, a picture.", show_default=False)],
    workspace: EvaluatedWorkspace = None,
    recipe: EvaluatedRecipe = "demo",
    changes: Changes = None,
    fold: EvaluatedFolds = None,
    checkpoint: EvaluatedWeights = WeightsChoice.LAST,
    model: EvaluatedModel = None,
    source: Annotated[Path | None, typer.Option("--input", help="With --model: folder of CTs, or a dataset.")] = None,
    labels: Annotated[Path | None, typer.Option(help="With --model: folder of label maps of these CTs.")] = None,
    dataset: Annotated[Layout | None, typer.Option(help="With --model: how the dataset is laid out.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measures whether ROIs hold pancreas and lesion: of trained folds, or of a model on any labelled CTs."""
    from rich.console import Console

    from stage1_localizer.evaluate import cross_validate, evaluate_model, write_evaluation
    from stage1_localizer.labelled import cases_of_dataset, cases_of_folders
    from stage1_localizer.margins import stated
    from stage1_localizer.summary import table_of

    if (workspace is None) == (model is None) or (model is None) != (source is None):
        raise RequestError("give --workspace, or --model with --input")
    with progress("locating") as report:
        if workspace is not None:
            found = cross_validate(
                workspace,
                Training().load(recipe, changes or ()),
                changes=changes or (),
                folds=fold or (),
                checkpoint=checkpoint.value,
                device=device,
                progress=report,
            )
        elif model is not None and source is not None:
            if labels is not None:
                cases = cases_of_folders(source, labels, dataset)
            else:
                cases = cases_of_dataset(source, dataset or Layout.NNUNET)
            found = evaluate_model(model, cases, device=device, progress=report)
    metrics = write_evaluation(found, output)
    Console().print(table_of(metrics))
    if found.found is not None:
        _tell_margins(found.found)
    else:
        typer.echo(f"Margins (z, y, x): {stated(found.margin_mm)} mm")
    for case_id, reason in found.failed.items():
        typer.echo(f"failed {case_id}: {reason}", err=True)
    typer.echo(f"Per case: {output / 'cases.csv'}; the worst: {output / 'worst_cases.png'}")
    if found.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _tell_margins(found: FoundMargins) -> None:
    """Says which margins were chosen, and why."""
    from stage1_localizer.margins import stated

    typer.echo(f"Margins (z, y, x) from {found.cases} validation cases with a {found.decided_by}:")
    for name, axis in zip("zyx", found.axes, strict=True):
        because = f"for {axis.case_id}; {axis.next_mm:.1f} without it" if axis.case_id else "no case reaches beyond"
        typer.echo(f"  {name}: {axis.needed_mm:.1f} mm ({because}) + {found.reserve_mm:g} mm reserve")
    if found.not_found:
        typer.echo(f"  left out: {len(found.not_found)} in which no pancreas was found ({', '.join(found.not_found)})")
    typer.echo(f"The stage-2 recipe should say: margin_mm = {stated(found.margin_mm)}")


def main() -> None:
    """Runs the command line: the console script `stage1-localizer`."""
    app()

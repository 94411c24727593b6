"""The `pipeline` command line."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import OneLineGroup, progress
from pipeline.cli_bundle import app as bundle_app
from pipeline.cli_run import run
from pipeline.console import console, print_metrics

app = typer.Typer(
    name="pipeline",
    cls=OneLineGroup,
    help="Pancreatic lesions in contrast-enhanced CT: a score a patient, a map of lesions, an evaluation.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bundle_app, name="bundle")


class SizeChoice(StrEnum):
    """Grid of phantoms."""

    DEMO = "demo"
    CLINICAL = "clinical"


class DomainChoice(StrEnum):
    """How widely the look of phantoms varies."""

    CLINICAL = "clinical"
    WIDE = "wide"


@app.callback()
def _root() -> None:
    """Keeps `pipeline` a group of commands."""


app.command()(run)


@app.command()
def evaluate(
    predictions: Annotated[
        Path, typer.Option(help="Output of 'pipeline run', or a folder of detection maps.", show_default=False)
    ],
    labels: Annotated[Path, typer.Option(help="Folder of label maps, one a case.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder for metrics.json and per_case.csv.", show_default=False)],
    min_overlap: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="IoU from which a candidate hits a lesion.")
    ] = 0.15,
    lesion_label: Annotated[
        str | None,
        typer.Option(help="Lesion label: a name from dataset.json, or a value. Default: lesion, tumor or PDAC."),
    ] = None,
    case_labels: Annotated[
        Path | None, typer.Option(help="Table case_id,class_name. Default: a case with a lesion is positive.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
) -> None:
    """Measures results against labels: AUROC for patients, AP for lesions."""
    from ctcore.evaluation.evaluate import evaluate as evaluate_folder

    out = console()
    logging.getLogger("ctcore.evaluation").addHandler(logging.NullHandler())  # its warnings are printed below
    with progress("evaluating") as report:
        metrics = evaluate_folder(
            predictions,
            labels,
            output,
            min_overlap=min_overlap,
            lesion_label=lesion_label,
            case_labels=case_labels,
            bootstrap=bootstrap,
            seed=seed,
            progress=report,
        )
    print_metrics(out, metrics)
    out.print(f"Figures: {output / 'metrics.json'}", markup=False, soft_wrap=True)
    out.print(f"Cases: {output / 'per_case.csv'}", markup=False, soft_wrap=True)


@app.command()
def phantom(
    cases: Annotated[int, typer.Option(min=1, help="How many.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder for imagesTr, labelsTr and tables.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same cases.", show_default=False)],
    anatomy: Annotated[
        Path | None, typer.Option(help="Folder of PANORAMA label maps to build around. Default: parametric anatomy.")
    ] = None,
    positive_fraction: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of cases with a lesion.")] = 0.5,
    size: Annotated[SizeChoice, typer.Option(help="Grid of the CTs.")] = SizeChoice.DEMO,
    domain: Annotated[DomainChoice, typer.Option(help="How widely their look varies.")] = DomainChoice.CLINICAL,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 1,
) -> None:
    """Makes synthetic CTs with exact labels: no data needed, none of it from patients."""
    from ctcore.phantom.cohort import write_cohort

    with progress("phantoms") as report:
        write_cohort(
            output,
            cases,
            seed,
            anatomy=anatomy,
            positive_fraction=positive_fraction,
            size=size.value,
            domain=domain.value,
            workers=workers,
            progress=report,
        )
    console().print(f"{cases} phantoms in {output}", markup=False, soft_wrap=True)


def main() -> None:
    """Runs the command line: the console script `pipeline`."""
    app()

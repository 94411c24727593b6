"""The `pipeline` command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import OneLineGroup, progress
from pipeline.cli_bundle import app as bundle_app
from pipeline.cli_evaluate import compare, evaluate
from pipeline.cli_run import run
from pipeline.console import console

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


app.command()(evaluate)
app.command()(compare)


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

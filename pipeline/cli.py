"""The `pipeline` command line."""

from __future__ import annotations

import typer

from ctcore.console import OneLineGroup
from pipeline.cli_bundle import app as bundle_app
from pipeline.cli_dicom import app as dicom_app
from pipeline.cli_evaluate import compare, evaluate
from pipeline.cli_grand_challenge import grand_challenge
from pipeline.cli_merge import merge
from pipeline.cli_phantom import phantom
from pipeline.cli_run import run
from pipeline.cli_view import view

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
app.add_typer(dicom_app, name="dicom")


@app.callback()
def _root() -> None:
    """Keeps `pipeline` a group of commands."""


app.command()(run)
app.command()(view)
app.command()(merge)
app.command()(evaluate)
app.command()(compare)
app.command()(phantom)
app.command()(grand_challenge)


def main() -> None:
    """Runs the command line: the console script `pipeline`."""
    app()

"""The commands `pipeline dicom ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import console

app = typer.Typer(help="Look at DICOM series.", pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Keeps `pipeline dicom` a group of commands."""


@app.command("list")
def list_series(
    source: Annotated[Path, typer.Argument(help="A folder, a DICOM object, or a ZIP archive.", metavar="PATH")],
    case_id_tag: Annotated[
        str | None, typer.Option(help="DICOM tag that names cases. Default: a digest that identifies nobody.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as in run.json.")] = False,
) -> None:
    """Lists the DICOM series of a folder: which are cases of 'pipeline run', and why not the others.

    Reads headers alone. Exit code: 0 where there is a case, 2 where there is none.
    """
    import json

    from ctcore.cts import look_for_cts
    from ctcore.errors import RequestError
    from pipeline.console import print_series
    from pipeline.dicom_series import descriptions, series_records

    found = look_for_cts(source, case_id_tag)
    records, out = series_records(found), console()
    if as_json:
        table = {
            "dicom": [record.model_dump(mode="json") for record in records],
            "dicom_unreadable": [f"{each.name}: {each.reason}" for each in found.unreadable],
        }
        out.print(json.dumps(table, indent=2), markup=False, soft_wrap=True)
    else:
        print_series(out, records, descriptions(found), found.unreadable, longest=None)
    if not any(record.case_id for record in records):
        raise RequestError(f"'{source}' holds no CT series to compute")

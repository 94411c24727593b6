"""The command `pipeline merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctcore.console import EXIT_SOME_FAILED, progress
from pipeline.console import console


def merge(
    inputs: Annotated[
        list[Path], typer.Option("--input", help="Output of a shard; given once for each.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder of the whole run.", show_default=False)],
) -> None:
    """Joins the outputs of `pipeline run --shard 1/N` ... `N/N` into one.

    Exit code: 0 all cases done, 1 some of them have failed, 2 the request was wrong.
    """
    from pipeline.merge import merge as merge_shards

    out = console()
    with progress("cases") as told:
        summary = merge_shards(inputs, output, told)
    failed = sum(record.status == "failed" for record in summary.records)
    out.print(
        f"{summary.shards} shards, {len(summary.records)} cases, {failed} of them failed: {output / 'results.csv'}",
        markup=False,
        soft_wrap=True,
    )
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)

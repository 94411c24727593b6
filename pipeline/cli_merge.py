"""The command `pipeline merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from ctcore.console import EXIT_SOME_FAILED, progress
from pipeline.console import console


def merge(
    inputs: Annotated[
        list[str],
        typer.Option("--input", help="Output of a shard, a folder or a URL; given once for each.", show_default=False),
    ],
    output: Annotated[str, typer.Option("--output", help="Folder or URL of the whole run.", show_default=False)],
) -> None:
    """Joins the outputs of `pipeline run --shard 1/N` ... `N/N` into one.

    Exit code: 0 all cases done, 1 some of them have failed, 2 the request was wrong.
    """
    from ctcore.object_store import place_of
    from pipeline.merge import merge as merge_shards

    out = console()
    with progress("cases") as told:
        summary = merge_shards([place_of(text) for text in inputs], place_of(output), told)
    failed = sum(record.status == "failed" for record in summary.records)
    out.print(
        f"{summary.shards} shards, {len(summary.records)} cases, {failed} of them failed:"
        f" {output.rstrip('/')}/results.csv",
        markup=False,
        soft_wrap=True,
    )
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)

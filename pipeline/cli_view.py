"""The command `pipeline view`."""

from __future__ import annotations

import contextlib
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import console


def view(
    output: Annotated[Path, typer.Argument(help="Output of a run.", show_default=False)],
    input_path: Annotated[
        Path | None,
        typer.Option("--input", help="Where its CTs are; by default where the run has found them.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; 0 for any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
) -> None:
    """Shows CTs, anatomy, detection maps and candidates of a run in the browser, until Ctrl-C.

    Nothing leaves this machine: the server listens on 127.0.0.1, at an address that only its caller is told.
    """
    from pipeline.viewer.server import ViewerServer
    from pipeline.viewer.shown import ShownRun

    with ViewerServer(ShownRun.read(output, input_path), port) as server, contextlib.suppress(KeyboardInterrupt):
        console().print(f"{server.address}  (Ctrl-C ends it)", markup=False, soft_wrap=True)
        if browser:
            webbrowser.open(server.address)
        server.serve_forever()

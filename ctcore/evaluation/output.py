"""The folder that an evaluation is written to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ctcore.durable import is_writable, remove_partials
from ctcore.errors import RequestError
from ctcore.lock import locked


def check_output(output: Path) -> None:
    """Refuses a folder that could not be written to, before anything is computed.

    Raises:
        RequestError: it, or the folder that it would be made in, is no folder or cannot be written to.
    """
    existing = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not existing.is_dir() or not is_writable(existing):
        raise RequestError(f"output '{output}': '{existing}' is not a folder that can be written to; name another")


@contextlib.contextmanager
def alone(output: Path, *below: Path) -> Iterator[None]:
    """Keeps other commands out of a folder for the length of a block, and removes what a killed one has left.

    Args:
        output: the folder.
        below: folders in it that are written to as well.

    Raises:
        FolderInUseError: another command writes into it.
        RequestError: it cannot be made or written.
    """
    with locked(output):
        remove_partials(output, *below)
        yield

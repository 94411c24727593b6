"""The folder that an evaluation is written to."""

from __future__ import annotations

from pathlib import Path

from ctcore.errors import RequestError
from ctcore.files import is_writable


def check_output(output: Path) -> None:
    """Refuses a folder that could not be written to, before anything is computed.

    Raises:
        RequestError: it, or the folder that it would be made in, is no folder or cannot be written to.
    """
    existing = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not existing.is_dir() or not is_writable(existing):
        raise RequestError(f"output '{output}': '{existing}' is not a folder that can be written to; name another")

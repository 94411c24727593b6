"""Files that last: flushed to the disk before they get their name, with a reason where that fails.

A file that is renamed before its bytes are on the disk can be empty after a power cut, under its final name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ctcore.errors import OutputError, first_line

PARTIAL_PREFIX = ".partial-"
"""What names of files begin with that are not whole yet."""

_NOT_FLUSHED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
"""What file systems say that know no flushing."""

_ADVICE = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space within the quota",
    errno.EFBIG: "free space on its disk, or allow larger files (ulimit -f)",
    errno.EACCES: "change the permissions of its folder",
    errno.EPERM: "change the permissions of its folder",
    errno.EROFS: "give a folder on a disk that can be written",
    errno.ENOENT: "its folder was removed meanwhile",
    errno.ESTALE: "its folder was removed meanwhile",
}


def flush(path: Path) -> None:
    """Returns when a file's bytes are on the disk; what a disk (or a server) could not keep is noticed here at last.

    Raises:
        OSError: they cannot be written.
    """
    with path.open("rb+") as handle:
        try:
            os.fsync(handle.fileno())
        except OSError as error:
            if error.errno not in _NOT_FLUSHED:
                raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns whatever the system says against writing a file into one line that says what to do.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or first_line(error)
        advice = _ADVICE.get(error.errno or 0, "check its disk")
        raise OutputError(f"'{path}' cannot be written: {reason}; {advice}") from error


def remove_partials(*folders: Path) -> None:
    """Removes what killed writers have left in folders (not below them); to be called where nobody else writes."""
    for folder in folders:
        if folder.is_dir():
            for path in folder.glob(f"{PARTIAL_PREFIX}*"):
                if path.is_symlink() or path.is_file():
                    path.unlink(missing_ok=True)

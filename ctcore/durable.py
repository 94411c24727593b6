"""Files that appear complete or not at all, flushed to the disk before they get their name.

A file that is renamed before its bytes are on the disk can be empty after a power cut, under its final name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
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


def write_atomic(path: Path, write_to: Callable[[Path], None]) -> None:
    """Lets `write_to` fill a temporary file in the same folder, which becomes `path` once its bytes are on the disk.

    The temporary name ends with the file's own suffix, so that writers which look at it are not misled.

    Raises:
        OutputError: the system refuses; what was there before still is.
        Exception: whatever else `write_to` raises.
    """
    suffix = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=PARTIAL_PREFIX, suffix=suffix, delete=False) as handle:
            partial = Path(handle.name)
        try:
            write_to(partial)
            flush(partial)
            partial.chmod(0o644)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # of a folder that is gone, too
                partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file as UTF-8, complete or not at all."""

    def write_to(partial: Path) -> None:
        partial.write_text(text, encoding="utf-8")

    write_atomic(path, write_to)


def is_writable(folder: Path) -> bool:
    """Tells whether files can be made in a folder; the one that is tried leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def remove_partials(*folders: Path) -> None:
    """Removes what killed writers have left in folders (not below them); to be called where nobody else writes."""
    for folder in folders:
        if folder.is_dir():
            for path in folder.glob(f"{PARTIAL_PREFIX}*"):
                if path.is_symlink() or path.is_file():
                    path.unlink(missing_ok=True)

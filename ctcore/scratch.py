"""Folders for files of the moment, which go with the process that uses them, however it ends."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ctcore.errors import FolderInUseError, RequestError
from ctcore.lock import LOCK_NAME, locked

PREFIX = "ct-lesion-pipeline-"
GRACE_SECONDS = 60.0
"""A folder without a lock that is younger may be about to be locked."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Makes a folder in the system's place for temporary files (`TMPDIR`), which is removed at the end of the block.

    Raises:
        RequestError: there is no such place, or it cannot be written.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise RequestError(
            f"no temporary folder can be made ({error.strerror}); free space, or set TMPDIR to a folder with some"
        ) from error
    try:
        with locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Removes scratch folders of this user whose processes were killed."""
    place = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=place) as own:
            user = Path(f"/dev/fd/{own.fileno()}").stat().st_uid
    except OSError:
        return
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, FolderInUseError, RequestError):
            stat = folder.lstat()
            new = time.time() - stat.st_mtime < GRACE_SECONDS and not (folder / LOCK_NAME).exists()
            if stat.st_uid == user and not folder.is_symlink() and not new:
                with locked(folder):
                    shutil.rmtree(folder)

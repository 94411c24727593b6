"""One command at a time in a folder.

The lock is the system's, on a small file, and goes with the process: a kill leaves a file that locks nothing. It is of
the POSIX kind (`fcntl.lockf`), because child processes do not inherit those, and an orphaned worker would keep a folder
locked; and because they hold between the machines of a network file system.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import platform
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctcore.errors import FolderInUseError, OutputGoneError, RequestError

LOCK_NAME = ".lock"
"""The file that is locked: there while a command writes into its folder."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL})
"""What file systems say that know no locks."""

_FLOCK = "hhqqi"
"""Linux's `struct flock`: kind, what the start counts from, start, length, process."""

_LONGEST_NAME = 200
_GUARD = threading.Lock()
_HELD: set[Path] = set()
"""Locks of this process, which the system does not hold against the process itself."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderLock:
    """A folder that is this process's to write into.

    Attributes:
        folder: the folder.
        file: the locked file, open.
    """

    folder: Path
    file: io.FileIO

    @property
    def holds(self) -> bool:
        """Whether the folder is still the one that was locked: neither removed nor replaced."""
        return _is_at(self.file, self.folder / LOCK_NAME)

    def check(self) -> None:
        """Refuses to go on where the folder is no longer there.

        Raises:
            OutputGoneError: it was removed or replaced; another command may be writing there by now.
        """
        if not self.holds:
            raise OutputGoneError(
                f"output '{self.folder}' was removed or replaced while it was written to; nothing more is written:"
                " run the same command again"
            )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[FolderLock]:
    """Keeps other commands out of a folder for the length of a block.

    Args:
        folder: made if it is not there.

    Raises:
        FolderInUseError: another command writes into it.
        RequestError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve() / LOCK_NAME
        with _GUARD:
            if path in _HELD:
                raise _in_use(folder, "this very process")
            lock = FolderLock(folder, _acquire(path, folder))
            _HELD.add(path)
    except OSError as error:
        raise RequestError(
            f"'{folder}' cannot be written ({error.strerror}); give another folder, or change its permissions"
        ) from error
    try:
        yield lock
    finally:
        with _GUARD:
            if lock.holds:
                with contextlib.suppress(OSError):  # a file that stays locks nothing
                    path.unlink()  # before the lock goes: whoever gets this file next sees that it is gone
            lock.file.close()
            _HELD.discard(path)


def this_process() -> str:
    """Returns what tells this process from others, for those who wait for it."""
    return f"process {os.getpid()} on '{platform.node()}'"


def refuse_if_locked(folder: Path) -> None:
    """Refuses to go on where another process has locked a folder; takes no lock.

    Raises:
        FolderInUseError: it has.
    """
    path = folder.resolve() / LOCK_NAME
    try:
        with _GUARD:
            if path in _HELD:
                return
            with path.open("rb", buffering=0) as file:
                _lock(file, folder, fcntl.LOCK_SH)
    except FileNotFoundError:
        return


def is_locked(folder: Path) -> bool:
    """Tells whether a command, of this process or another one, has locked a folder.

    The system is asked, no lock is tried: that could refuse a command that begins at the same moment.
    """
    path = folder.resolve() / LOCK_NAME
    try:
        with _GUARD:
            if path in _HELD:
                return True
            with path.open("rb", buffering=0) as file:
                would_be = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                in_the_way, *_ = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, would_be))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return bool(in_the_way != fcntl.F_UNLCK)


def _acquire(path: Path, folder: Path) -> io.FileIO:
    """Opens and locks the file at a path, and writes into it who did."""
    while True:
        file = path.open("ab+", buffering=0)
        try:
            _lock(file, folder, fcntl.LOCK_EX)
            if _is_at(file, path):
                with contextlib.suppress(OSError):  # the lock holds without a name, on a full disk too
                    file.truncate(0)
                    file.write(f"{this_process()}\n".encode())
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever had it before has just removed it


def _lock(file: io.FileIO, folder: Path, kind: int) -> None:
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.seek(0)
            raise _in_use(folder, _one_line(file.read(_LONGEST_NAME))) from None
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("the disk of '%s' knows no locks: a second command that writes there is not noticed", folder)


def _one_line(name: bytes) -> str:
    return " ".join(name.decode(errors="replace").split()) or "another process"


def _in_use(folder: Path, holder: str) -> FolderInUseError:
    return FolderInUseError(f"'{folder}' is in use by {holder}; wait until that has ended, or give another folder")


def _is_at(file: io.FileIO, path: Path) -> bool:
    """Tells whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False

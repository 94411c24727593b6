"""One command at a time in a folder of object storage, which knows no locks.

An object says who has the folder. It is written again and again; what has not been written for a minute belongs to a
command that was killed, and may be taken over. All times are of the store's clock: machines need not agree on one.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator

from ctcore.errors import FolderInUseError, OutputError, OutputGoneError, RequestError, first_line
from ctcore.lock import this_process
from ctcore.object_store import ObjectFolder
from ctcore.text import printable

LEASE_NAME = ".lease"
"""The object that is there while a command writes into its folder."""

LEASE_SECONDS = 60.0
"""How long a lease holds that is not renewed."""

SETTLING_SECONDS = 2.0
"""After a lease was taken over: two commands that do so at once find out whose it is."""

_RENEWALS = 3
"""How often a lease is renewed in the time that it would hold."""

logger = logging.getLogger(__name__)


class Lease:
    """A folder of object storage that is this command's to write into.

    Args:
        folder: the folder.
        seconds: how long the lease holds that is not renewed.
    """

    def __init__(self, folder: ObjectFolder, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        said = {"holder": this_process(), "seconds": seconds, "token": uuid.uuid4().hex}
        self._content = json.dumps(said).encode()
        self._renewed = time.monotonic()
        self._taken_away = False
        self._ended = threading.Event()

    def take(self) -> None:
        """Takes the lease.

        Raises:
            FolderInUseError: another command has it.
            RequestError: the folder cannot be written.
        """
        try:
            # Looked for first: stores that know no conditional writes would let it be written over.
            there = self._folder.read(LEASE_NAME) is not None
            if there or not self._folder.create(LEASE_NAME, self._content):
                self._take_over()
        except OutputError as error:
            raise RequestError(first_line(error)) from error
        self._renewed = time.monotonic()

    def renew_until_end(self) -> None:
        """Renews the lease until `end`; a renewal that fails is tried again."""
        while not self._ended.wait(self._seconds / _RENEWALS):
            begin = time.monotonic()
            try:
                if self._folder.read(LEASE_NAME) != self._content:
                    self._taken_away = True
                    return
                self._folder.write(LEASE_NAME, self._content)
                self._renewed = begin
            except OutputError as error:
                logger.warning("the lease cannot be renewed: %s", first_line(error))

    def end(self) -> None:
        """Lets the lease be renewed no more."""
        self._ended.set()

    def give_back(self) -> None:
        """Lets the next command in."""
        try:
            if self._folder.read(LEASE_NAME) == self._content:
                self._folder.remove([LEASE_NAME])
        except OutputError as error:
            logger.warning("the lease cannot be given back, and runs out: %s", first_line(error))

    def check(self) -> None:
        """Refuses to go on where the lease is no longer this command's.

        Raises:
            OutputGoneError: it was taken over or removed, or could not be renewed in time; another command may be
                writing there by now.
        """
        late = time.monotonic() - self._renewed > self._seconds
        if late or self._taken_away:
            lost = "was removed, or taken by another command"
            why = lost if self._taken_away else f"could not be renewed for {self._seconds:g} s"
            raise OutputGoneError(
                f"the lease of output '{self._folder}' {why}; nothing more is written: run the same command again"
            )

    def _take_over(self) -> None:
        """Takes a lease that has run out."""
        found, written = self._folder.read(LEASE_NAME), self._folder.written_at(LEASE_NAME)
        if found == self._content:  # the store's answer was lost, and its client has asked again
            return
        if found is not None and written is not None:
            holder, seconds = _said(found, self._seconds)
            end, now = written + datetime.timedelta(seconds=seconds), self._folder.now()
            if now <= end:
                raise self._in_use(f"{holder}; if that was killed, its lease runs out at {end:%H:%M:%S} (UTC)")
            logger.warning("the lease of %s has run out: it is taken over", holder)
            self._folder.remove([LEASE_NAME])
        if self._folder.create(LEASE_NAME, self._content):
            time.sleep(SETTLING_SECONDS)
        winner = self._folder.read(LEASE_NAME)
        if winner != self._content:
            raise self._in_use(_said(winner or b"", self._seconds)[0])

    def _in_use(self, holder: str) -> FolderInUseError:
        return FolderInUseError(
            f"'{self._folder}' is in use by {holder}; wait until that has ended, or give another folder"
        )


@contextlib.contextmanager
def leased(folder: ObjectFolder) -> Iterator[Lease]:
    """Keeps other commands out of a folder of object storage for the length of a block.

    Raises:
        FolderInUseError: another command writes into it.
        RequestError: it cannot be written.
    """
    lease = Lease(folder, LEASE_SECONDS)
    lease.take()
    renewing = threading.Thread(target=lease.renew_until_end, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        lease.end()
        renewing.join()  # else it could write what was removed
        lease.give_back()


def _said(content: bytes, seconds: float) -> tuple[str, float]:
    """Returns who holds a lease, and for how long it holds; what is no lease of this project's holds as long as one."""
    try:
        said = json.loads(content)
        return printable(str(said["holder"]))[:200], min(float(said["seconds"]), 3600.0)
    except (ValueError, LookupError, TypeError):
        return "another command", seconds

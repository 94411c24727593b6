"""The log of a run: warnings, tracebacks and whatever libraries print go to a file, not to the console."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctcore.durable import writing
from ctcore.errors import first_line
from ctcore.text import printable

OWN_PACKAGES = ("ctcore", "stage1_localizer", "stage2_multitask", "pipeline")

STDERR = 2
"""The process's descriptor."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """A log file that a full disk silences: neither it nor the work that it tells of ends by that.

    Attributes:
        failure: what the system has said first against writing it; None: nothing.
    """

    failure: Exception | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Remembers the failure; logging would print a traceback to stderr, which leads back here."""
        del record
        error = sys.exc_info()[1]
        self.failure = self.failure or (error if isinstance(error, Exception) else None)

    def close(self) -> None:
        """Closes the file; what could not be written by now is lost."""
        try:
            super().close()
        except OSError as error:
            self.failure = self.failure or error


class _OneLine(logging.Formatter):
    """Entries of one line; a traceback is set in, so that nothing in a message can pass for an entry of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the base class's name)
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {printable(line)}" for line in lines)


class _LineLogger(io.TextIOBase):
    """A text stream whose complete lines become log entries."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info("%s", line.rstrip())
        return len(text)


@contextlib.contextmanager
def _descriptor_to(path: Path) -> Iterator[None]:
    """Appends to a file what libraries in C write to the process's stderr, past Python."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # it is closed
        yield
        return
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Sends log entries, warnings and prints to the end of a file for as long as the block lasts.

    Inside the block only a stream that was taken before it (a console on stdout) still reaches the terminal. A log that
    cannot be written in full is a line on stderr at the end.

    Args:
        path: the log file; its folder exists.

    Raises:
        OutputError: it cannot be made.
    """
    with writing(path):
        handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(_OneLine(_FORMAT))
    root = logging.getLogger()
    own = [logging.getLogger(name) for name in OWN_PACKAGES]
    printed = logging.getLogger("pipeline.printed")
    levels = [logger.level for logger in own]
    others = root.handlers[:]
    root.handlers[:] = [handler]
    for logger in own:
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        with (
            contextlib.redirect_stdout(_LineLogger(printed)),
            contextlib.redirect_stderr(_LineLogger(printed)),
            _descriptor_to(path),
        ):
            yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = others
        for logger, level in zip(own, levels, strict=True):
            logger.setLevel(level)
        handler.close()
        if handler.failure is not None:
            sys.stderr.write(f"Warning: the log '{path}' is not whole: {first_line(handler.failure)}\n")

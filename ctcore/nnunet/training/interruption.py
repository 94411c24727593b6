"""Stopping a training from outside: Ctrl-C and SIGTERM end it in order, with one line that says how to go on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ctcore.console import EXIT_INTERRUPTED, sigterm_like_ctrl_c
from ctcore.nnunet.training.distributed import is_leader

MESSAGE = "stopped: run the same command again to go on after the last finished epoch"


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Lets a block be stopped by SIGTERM as by Ctrl-C; loader processes end with it.

    Raises:
        SystemExit: it was stopped; exit code 130.
    """
    try:
        with sigterm_like_ctrl_c():
            yield
    except KeyboardInterrupt:
        if is_leader():
            sys.stderr.write(f"{MESSAGE}\n")
        raise SystemExit(EXIT_INTERRUPTED) from None

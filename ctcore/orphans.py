"""No process outlives the one that started it: nobody would end it, and it could write beside the next command."""

from __future__ import annotations

import multiprocessing
import signal
import threading


def end_with_parent() -> None:
    """Lets this process, which `multiprocessing` has started, end with its parent, however that ends."""
    threading.Thread(target=_wait_and_end, name="parent", daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        signal.raise_signal(signal.SIGKILL)

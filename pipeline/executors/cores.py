"""Which of the processor's cores a worker has to itself, so that workers do not fight over them; Linux alone."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Collection


def shares_of_cores(workers: int) -> list[frozenset[int]]:
    """Returns the cores that this process may use in shares of neighbours, one a worker.

    With more workers than cores, several share one; where the system binds no process to cores, shares are empty.
    """
    cores = _cores()
    if not cores:
        return [frozenset()] * workers
    if workers >= len(cores):
        return [frozenset({cores[number % len(cores)]}) for number in range(workers)]
    bounds = [round(number * len(cores) / workers) for number in range(workers + 1)]
    return [frozenset(cores[start:stop]) for start, stop in itertools.pairwise(bounds)]


def bind_to(cores: Collection[int]) -> None:
    """Lets this thread, and processes and threads that it starts, use some cores alone; does nothing for none."""
    if sys.platform == "linux" and cores:
        os.sched_setaffinity(0, cores)


class ClaimedCores:
    """Cores that no other claim on this machine has, whoever makes it; they are free again when the process ends.

    A claim is a name in Linux's abstract socket namespace: it needs no file, and goes with the process however that
    ends.

    Args:
        number: how many are wanted. Where fewer are free, none is claimed.

    Attributes:
        cores: those claimed.
    """

    def __init__(self, number: int) -> None:
        self._held: list[socket.socket] = []
        self.cores: frozenset[int] = frozenset()
        found: list[int] = []
        for core in _cores():
            if len(found) < number and self._claim(core):
                found.append(core)
        if len(found) == number:
            self.cores = frozenset(found)
        else:
            self.release()

    def release(self) -> None:
        """Gives them back."""
        for name in self._held:
            name.close()
        self._held, self.cores = [], frozenset()

    def _claim(self, core: int) -> bool:
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0ct-lesion-pipeline-core-{core}")
        except OSError:  # another worker's
            name.close()
            return False
        self._held.append(name)
        return True


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []

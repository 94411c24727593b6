"""Keeping the worst of many cases as they come by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worst(Generic[Item]):
    """The worst cases so far; what is kept of a case is made for these alone.

    Args:
        size: how many to keep; 0 for none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[float, str, Item]] = []

    def add(self, badness: float, case_id: str, make: Callable[[], Item]) -> None:
        """Keeps what `make` returns if the case is among the worst; the higher `badness`, the worse."""
        if self._size and (len(self._kept) < self._size or badness > self._kept[-1][0]):
            self._kept.append((badness, case_id, make()))
            self._kept = sorted(self._kept, key=lambda item: (-item[0], item[1]))[: self._size]

    @property
    def items(self) -> tuple[Item, ...]:
        """What was kept, worst first."""
        return tuple(item for _, _, item in self._kept)

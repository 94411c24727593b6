"""Named random draws: every choice of a phantom is made here, and every choice is kept for its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_REDRAWS = 64


class Draws:
    """A random generator whose draws have names and are remembered.

    Scalars are stored under their dotted name. Random fields (texture, noise, deformation) are made by a generator of
    their own, seeded by a recorded number (see `stream`).

    Attributes:
        record: Name of the draw -> value drawn, in the order of drawing.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self.record: dict[str, Any] = {}

    def _keep(self, name: str, value: Any) -> None:
        if name in self.record:
            raise KeyError(f"the draw {name!r} was made twice for one phantom: give each draw a name of its own")
        self.record[name] = value

    def note(self, name: str, value: Any) -> None:
        """Remember a value that follows from earlier draws and explains them."""
        self._keep(name, value)

    def uniform(self, name: str, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        value = float(self._generator.uniform(low, high))
        self._keep(name, value)
        return value

    def normal(self, name: str, mean: float, sd: float, low: float = -np.inf, high: float = np.inf) -> float:
        """A normal number, drawn again while outside [`low`, `high`] (a truncated normal distribution)."""
        value = float(self._generator.normal(mean, sd))
        for _ in range(_REDRAWS):
            if low <= value <= high:
                break
            value = float(self._generator.normal(mean, sd))
        value = min(max(value, low), high)
        self._keep(name, value)
        return value

    def lognormal(self, name: str, median: float, sigma: float, low: float, high: float) -> float:
        """A log-normal number, drawn again while outside [`low`, `high`]."""
        value = float(median * np.exp(self._generator.normal(0.0, sigma)))
        for _ in range(_REDRAWS):
            if low <= value <= high:
                break
            value = float(median * np.exp(self._generator.normal(0.0, sigma)))
        value = min(max(value, low), high)
        self._keep(name, value)
        return value

    def flag(self, name: str, probability: float) -> bool:
        """True with the given probability."""
        value = bool(self._generator.uniform() < probability)
        self._keep(name, value)
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        value = int(self._generator.integers(low, high + 1))
        self._keep(name, value)
        return value

    def pick(self, name: str, weights: Mapping[str, float]) -> str:
        """One of the keys, with odds in proportion to its weight."""
        names = list(weights)
        odds = np.asarray([weights[key] for key in names], dtype=np.float64)
        value = names[int(self._generator.choice(len(names), p=odds / odds.sum()))]
        self._keep(name, value)
        return value

    def pick_number(self, name: str, values: Sequence[float], weights: Sequence[float]) -> float:
        """One of the numbers, with odds in proportion to its weight."""
        odds = np.asarray(weights, dtype=np.float64)
        value = float(values[int(self._generator.choice(len(values), p=odds / odds.sum()))])
        self._keep(name, value)
        return value

    def vector(self, name: str, sd: float | Sequence[float], length: int = 3) -> np.ndarray:
        """`length` independent normal numbers around 0."""
        value = self._generator.normal(0.0, sd, size=length)
        self._keep(name, [float(number) for number in value])
        return value

    def stream(self, name: str) -> np.random.Generator:
        """A generator for a random field; its seed is what the record keeps."""
        seed = int(self._generator.integers(0, 2**53))
        self._keep(name, seed)
        return np.random.default_rng(seed)

"""What must be reached, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["at least", "at most", "equal to"]


@dataclass(frozen=True)
class Bound:
    """One figure that must keep to a limit.

    Attributes:
        part: the part of the acceptance test that measured it.
        name: what was measured, with its unit.
        value: the figure; None where it could not be measured, which counts as missed.
        direction: how it must compare with the limit.
        limit: the limit.
        ci95: 95 % interval of the figure, where there is one.
    """

    part: str
    name: str
    value: float | str | bool | None
    direction: Direction
    limit: float | str | bool
    ci95: tuple[float, float] | None = None

    @property
    def reached(self) -> bool:
        """Whether the figure itself (not its interval) keeps to the limit."""
        if self.value is None:
            return False
        if self.direction == "equal to":
            return self.value == self.limit
        value, limit = float(self.value), float(self.limit)
        return value >= limit if self.direction == "at least" else value <= limit

    def as_dict(self) -> dict[str, Any]:
        """Returns the bound as JSON types."""
        return {
            "part": self.part,
            "name": self.name,
            "value": self.value,
            "ci95": self.ci95,
            "direction": self.direction,
            "limit": self.limit,
            "reached": self.reached,
        }


def print_bounds(bounds: Sequence[Bound]) -> None:
    """Prints every bound beside its figure, and whether it was reached."""
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "measure", "figure", "95 % interval", "bound", "")
    for bound in bounds:
        interval = "" if bound.ci95 is None else f"{bound.ci95[0]:.3f} to {bound.ci95[1]:.3f}"
        verdict = "[green]reached[/green]" if bound.reached else "[bold red]missed[/bold red]"
        limit = f"{bound.direction} {text_of(bound.limit)}"
        table.add_row(bound.part, bound.name, text_of(bound.value), interval, limit, verdict)
    Console(highlight=False).print(table)


def print_figures(title: str, figures: Sequence[tuple[str, Any]]) -> None:
    """Prints further figures of a part, which no bound is set for."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "figure", title=title, title_justify="left")
    for name, value in figures:
        table.add_row(name, text_of(value))
    Console(highlight=False).print(table)


def closing(bounds: Sequence[Bound], **figures: Any) -> int:
    """Prints all as one JSON object, a benchmark's last line; returns the exit code: 1 where a bound is missed."""
    print(json.dumps({"bounds": [bound.as_dict() for bound in bounds], **figures}))
    return 0 if all(bound.reached for bound in bounds) else 1


def text_of(value: Any) -> str:
    """Returns a figure as a reader wants it."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"
    if isinstance(value, list | tuple):
        return (", " if any(isinstance(item, str) for item in value) else " to ").join(map(text_of, value))
    return str(value)

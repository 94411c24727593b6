"""What a cohort of phantoms is for: its classes, and how many cases each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ctcore.errors import RequestError
from ctcore.labels import NON_PDAC, PDAC, SUBTYPE_NAMES

Task = Literal["pdac", "subtypes"]

CLASSES: Mapping[Task, tuple[str, ...]] = {"pdac": (PDAC, NON_PDAC), "subtypes": SUBTYPE_NAMES}

POSITIVE_FRACTION = 0.5
SUBTYPE_WEIGHTS = (62.0, 106.0, 84.0)
"""Training cases of each subtype in the three-subtype reports."""


def class_shares(
    task: Task, positive_fraction: float | None = None, class_fractions: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Returns the share of each class of a task, in the order of `CLASSES`; together 1.

    Args:
        task: "pdac" or "subtypes".
        positive_fraction: Share of PDAC; None: one half. For "pdac" alone.
        class_fractions: Weights of the subtypes, which need not sum to 1; None: the reports'. For "subtypes" alone.

    Raises:
        RequestError: The task is unknown, a value is impossible, or is the other task's.
    """
    if task not in CLASSES:
        raise RequestError(f"phantom task {task!r} is unknown: choose one of {', '.join(CLASSES)}")
    if task == "pdac":
        if class_fractions is not None:
            raise RequestError(
                f"class fractions {_listed(class_fractions)} are for the task subtypes: give a positive fraction"
            )
        fraction = POSITIVE_FRACTION if positive_fraction is None else positive_fraction
        if not 0.0 <= fraction <= 1.0:
            raise RequestError(f"positive fraction {fraction} is outside 0 to 1: give a share of the cases")
        return fraction, 1.0 - fraction
    if positive_fraction is not None:
        raise RequestError(
            f"positive fraction {positive_fraction} is for the task pdac: every case has a lesion, give class fractions"
        )
    weights = SUBTYPE_WEIGHTS if class_fractions is None else tuple(class_fractions)
    if len(weights) != len(SUBTYPE_NAMES):
        raise RequestError(
            f"class fractions {_listed(weights)} are {len(weights)}: give one for each of {', '.join(SUBTYPE_NAMES)}"
        )
    if not all(0.0 <= weight < float("inf") for weight in weights) or sum(weights) == 0.0:
        raise RequestError(f"class fractions {_listed(weights)} are impossible: give numbers from 0 up, not all 0")
    return tuple(weight / sum(weights) for weight in weights)


def class_counts(shares: Sequence[float], cases: int) -> list[int]:
    """Returns how many of the cases each class gets: within one of its share, together all cases."""
    bounds = np.floor(cases * np.cumsum(shares) + 0.5).astype(int)
    bounds[-1] = cases
    return [int(count) for count in np.diff(bounds, prepend=0)]


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)

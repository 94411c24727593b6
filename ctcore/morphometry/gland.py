"""The parts of the pancreas: head, neck, body and tail, along its centre line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ctcore.morphometry.centre_line import CentreLine

NECK_HALF_MM = 10.0
"""The neck is what lies within this length of the line before the confluence: about 2 cm in anatomy books."""


class Part(StrEnum):
    """A part of the pancreas."""

    HEAD = "head"
    NECK = "neck"
    BODY = "body"
    TAIL = "tail"


@dataclass(frozen=True, eq=False)
class Gland:
    """The pancreas along its centre line.

    Attributes:
        line: from head to tail.
        confluence_mm: position on the line that is in front of the portal confluence.
    """

    line: CentreLine
    confluence_mm: float

    @classmethod
    def of(cls, line: CentreLine, confluence: npt.ArrayLike) -> Gland:
        """Puts a centre line in order.

        Args:
            line: of the gland, from either end, on an array in LPS order.
            confluence: (z, y, x) mm where splenic and superior mesenteric vein meet.
        """
        if line.points[0, 2] > line.points[-1, 2]:  # x grows to the patient's left, where the tail is
            line = line.reversed()
        behind = np.asarray(confluence, np.float64)
        # Seen from the front. The nearest place in space lies towards the head: the gland bends around the veins.
        away = np.hypot(*(line.points - behind)[:, [0, 2]].T)
        in_front = line.points[:, 1] < behind[1]  # y grows to the back; a process of the head may lie there
        if in_front.any():
            away[~in_front] = np.inf
        return cls(line, float(line.positions[np.argmin(away)]))

    @property
    def body_ends_mm(self) -> float:
        """Position where the tail begins: halfway from the neck to the tip."""
        return (min(self.confluence_mm + NECK_HALF_MM, self.line.length_mm) + self.line.length_mm) / 2

    def part_at(self, position_mm: float) -> Part:
        """Returns the part at a position on the line."""
        if position_mm < self.confluence_mm - NECK_HALF_MM:
            return Part.HEAD
        if position_mm <= self.confluence_mm + NECK_HALF_MM:
            return Part.NECK
        return Part.BODY if position_mm < self.body_ends_mm else Part.TAIL

    def position_mm(self, points: npt.ArrayLike) -> float:
        """Returns the median position on the line of points (n, 3) in mm: half of them lie on either side."""
        return float(np.median(self.line.positions[self.line.nearest(points)]))

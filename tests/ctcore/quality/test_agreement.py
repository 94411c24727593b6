"""Agreement of two masks and of several numbers; the way from a box to the faces around it."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.geometry import Box
from ctcore.quality.agreement import dice, spread, to_border_mm


def test_dice_of_hand_made_masks() -> None:
    a, b = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    assert dice(a, b) is None
    a[0] = 1
    assert dice(a, b) == 0
    b[0, :, :2] = 4
    assert dice(a, b) == pytest.approx(2 * 6 / 15)


def test_spread_needs_two() -> None:
    assert spread([]) is None
    assert spread([0.3]) is None
    assert spread([0.3, 0.9, 0.5]) == pytest.approx(0.6)


def test_way_to_the_faces_that_count() -> None:
    inside, border = Box((2, 5, 5), (8, 9, 6)), Box((0, 0, 0), (10, 10, 20))
    spacing = (3.0, 1.0, 0.5)
    assert to_border_mm(inside, border, spacing, [True] * 6) == 1.0  # the last row: one voxel
    assert to_border_mm(inside, border, spacing, [True] * 4 + [False, True]) == 2.5  # the first column: five voxels
    assert to_border_mm(inside, border, spacing, [False] * 6) == float("inf")
    assert to_border_mm(border, border, spacing, [True] * 6) == 0

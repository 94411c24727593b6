"""Parts of a straight gland."""

import numpy as np
import pytest

from ctcore.morphometry.centre_line import CentreLine
from ctcore.morphometry.gland import NECK_HALF_MM, Gland, Part

LINE = CentreLine(np.stack([np.zeros(161), np.zeros(161), np.arange(161.0)], 1))
CONFLUENCE = (8.0, 15.0, 60.0)  # behind the line


@pytest.mark.parametrize("line", [LINE, LINE.reversed()])
def test_parts_from_the_head_on_the_right_to_the_tail(line: CentreLine) -> None:
    gland = Gland.of(line, CONFLUENCE)
    assert gland.confluence_mm == pytest.approx(60.0)
    assert gland.body_ends_mm == pytest.approx((60.0 + NECK_HALF_MM + 160.0) / 2)  # 115
    found = [gland.part_at(place) for place in (0.0, 49.9, 50.0, 70.0, 70.1, 114.9, 115.0, 160.0)]
    assert found == [Part.HEAD, Part.HEAD, Part.NECK, Part.NECK, Part.BODY, Part.BODY, Part.TAIL, Part.TAIL]


def test_the_place_of_a_mass_is_that_of_its_half() -> None:
    gland = Gland.of(LINE, CONFLUENCE)
    assert gland.position_mm([(0.0, 3, 20), (1, 0, 30), (0, 0, 100)]) == pytest.approx(30.0)


def test_a_confluence_beyond_the_tip() -> None:
    gland = Gland.of(LINE, (0.0, 0.0, 500.0))
    assert gland.part_at(155.0) is Part.NECK
    assert gland.body_ends_mm == pytest.approx(160.0)


def test_the_neck_is_in_front_of_the_confluence() -> None:
    """The head bends to the back and comes nearer to it: 24.7 mm away at (12.5, 37.5), the neck 30 mm."""
    x = np.arange(101.0)
    line = CentreLine(np.stack([np.zeros(101), np.clip(50.0 - x, 0.0, None), x], 1))
    gland = Gland.of(line, (0.0, 30.0, 55.0))
    assert gland.confluence_mm == pytest.approx(50 * np.sqrt(2) + 5)


def test_what_lies_behind_the_confluence_is_not_in_front() -> None:
    behind = np.stack([np.zeros(46), np.full(46, 40.0), np.arange(55.0, 9.0, -1.0)], 1)
    before = np.stack([np.zeros(91), np.zeros(91), np.arange(10.0, 101.0)], 1)
    gland = Gland.of(CentreLine(np.concatenate([behind, before])), (0.0, 30.0, 55.0))
    assert gland.confluence_mm == pytest.approx(45 + 40 + 45)

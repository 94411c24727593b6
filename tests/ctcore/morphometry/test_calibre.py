"""Calibres of tubes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.morphometry.calibre import calibre_along
from ctcore.morphometry.centre_line import centre_line
from ctcore.morphometry.paths import Inside
from tests.ctcore.morphometry.shapes import tube

MIDDLE = np.array([22.1, 22.3, 22.4])
DIRECTION = st.tuples(*(st.floats(-1.0, 1.0),) * 3).filter(lambda v: np.linalg.norm(v) > 0.3)


@settings(max_examples=25)
@given(DIRECTION, st.floats(1.2, 5.0), st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.8, 0.8)]))
def test_a_straight_tube_in_any_direction(
    direction: tuple[float, float, float], radius: float, spacing: tuple[float, float, float]
) -> None:
    unit = np.asarray(direction) / np.linalg.norm(direction)
    shape = (int(45 / spacing[0]), int(45 / spacing[1]), int(45 / spacing[2]))
    inside = Inside.of(tube(shape, spacing, [MIDDLE - 15 * unit, MIDDLE + 15 * unit], radius), spacing)
    assert inside is not None
    line = centre_line(inside)
    assert line is not None
    calibre = calibre_along(inside, line)
    assert calibre.median_mm == pytest.approx(2 * radius, abs=float(np.linalg.norm(spacing)))
    assert calibre.largest_mm < 2 * radius + float(np.linalg.norm(spacing))


def test_a_tube_that_widens() -> None:
    spacing = (1.0, 1.0, 1.0)
    narrow = tube((30, 30, 60), spacing, [(15.3, 15.4, 3), (15.3, 15.4, 30)], 2.0)
    inside = Inside.of(narrow | tube((30, 30, 60), spacing, [(15.3, 15.4, 32), (15.3, 15.4, 55)], 4.0), spacing)
    assert inside is not None
    line = centre_line(inside)
    assert line is not None
    calibre = calibre_along(inside, line)
    x = line.at(calibre.positions)[:, 2]
    assert np.median(calibre.diameters[(x > 8) & (x < 25)]) == pytest.approx(4.0, abs=0.5)
    assert np.median(calibre.diameters[(x > 36) & (x < 48)]) == pytest.approx(8.0, abs=0.5)


def test_a_short_piece_has_one_calibre() -> None:
    mask = np.zeros((1, 1, 5), dtype=bool)
    mask[:] = True
    inside = Inside.of(mask, (1.0, 1.0, 1.0))
    assert inside is not None
    line = centre_line(inside)
    assert line is not None
    calibre = calibre_along(inside, line)
    assert calibre.diameters == pytest.approx([2 * np.sqrt(5 / 4 / np.pi)])  # five voxels over four millimetres

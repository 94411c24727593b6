"""Faults on purpose: each does to a small CT what it says."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.labels import PanoramaLabel
from ctcore.phantom.faults import below_pancreas, cut_through_pancreas, head_ct, thorax_of, with_stent
from ctcore.volume import Geometry, Volume

GEOMETRY = Geometry((40, 60, 70), (1.5, 1.5, 2.0), (5.0, 6.0, 7.0))


@pytest.fixture
def case() -> tuple[Volume, Volume]:
    """A body of 60 HU in air, with a gland in slices 10 to 19 and a bile duct beside it."""
    array, labels = np.full(GEOMETRY.shape, -1000, np.int16), np.zeros(GEOMETRY.shape, np.uint8)
    array[:, 2:58, 2:68] = 60
    labels[10:20, 25:35, 20:50] = PanoramaLabel.PANCREAS
    labels[14:19, 38:41, 38:41] = PanoramaLabel.BILE_DUCT
    return Volume(array, GEOMETRY), Volume(labels, GEOMETRY)


def test_a_stent_is_a_tube_around_the_bile_duct(case: tuple[Volume, Volume]) -> None:
    metal = with_stent(*case).array == 3071
    assert metal[16].any()
    assert not metal[16, 39, 39]  # its middle is open
    _, y, x = np.argwhere(metal).mean(axis=0)
    assert (y, x) == pytest.approx((39, 39), abs=0.1)
    heights = np.flatnonzero(metal.any(axis=(1, 2)))
    assert (heights[0], heights[-1]) == (6, 26)  # 40 mm
    assert not (case[0].array == 3071).any()


def test_cuts_end_in_the_gland_and_below_it(case: tuple[Volume, Volume]) -> None:
    assert cut_through_pancreas(*case).geometry.shape == (16, 60, 70)
    below = below_pancreas(*case)
    assert below.geometry.shape == (9, 60, 70)
    assert below.geometry.origin == GEOMETRY.origin


def test_a_thorax_has_lung_inside_and_walls_outside(case: tuple[Volume, Volume]) -> None:
    thorax = thorax_of(case[0]).array
    assert thorax[20, 30, 35] < -700
    assert thorax[20, 4, 35] == 60
    assert thorax[20, 0, 0] == -1000


def test_a_head_is_brain_in_a_skull() -> None:
    head = head_ct()
    z, y, x = (n // 2 for n in head.geometry.shape)
    line = head.array[z, y]
    assert abs(float(line[x - 5 : x + 6].mean()) - 34) < 5
    assert line.max() > 900
    assert line[0] < -900
    np.testing.assert_array_equal(head.array, head_ct().array)
    assert not np.array_equal(head.array, head_ct(1).array)

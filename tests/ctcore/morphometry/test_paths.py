"""Ways through masks, with lengths known by hand."""

import numpy as np
import pytest

from ctcore.morphometry.paths import Inside, pieces


def test_the_ends_of_a_bar_are_its_ends() -> None:
    mask = np.zeros((4, 5, 12), dtype=bool)
    mask[2, 3, 1:11] = True
    inside = Inside.of(mask, (2.0, 1.0, 0.5))
    assert inside is not None
    ends = inside.millimetres(inside.ends())
    assert sorted(ends[:, 2]) == [0.5, 5.0]
    assert ends[:, :2].tolist() == [[4.0, 3.0]] * 2


def test_ways_follow_the_inside_not_the_shortest_line() -> None:
    mask = np.zeros((1, 9, 9), dtype=bool)
    mask[0, :, 0] = mask[0, 8, :] = mask[0, :, 8] = True  # a U: its open ends are 8 apart
    inside = Inside.of(mask, (1.0, 1.0, 1.0))
    assert inside is not None
    first, last = inside.ends()
    way = inside.millimetres(inside.middle_ways(first).to(last))
    assert {tuple(way[0]), tuple(way[-1])} == {(0, 0, 0), (0, 0, 8)}
    assert len(way) in range(22, 26)  # 25 voxels, corners may be cut


def test_ways_keep_to_the_middle() -> None:
    mask = np.ones((5, 5, 30), dtype=bool)
    inside = Inside.of(mask, (1.0, 1.0, 1.0))
    assert inside is not None
    way = inside.middle_ways((1, 1, 1)).to((5, 5, 30))
    inner = way[(way[:, 2] > 8) & (way[:, 2] < 23)]
    assert (inner[:, :2] == 3).all()  # the free border of one voxel counts


def test_pieces_are_those_that_are_long_enough() -> None:
    mask = np.zeros((3, 3, 20), dtype=bool)
    mask[1, 1, 2:5] = mask[0, 0, 10:19] = True
    found = pieces(mask, (1.0, 1.0, 2.0), least_mm=7.0)
    assert [int(piece.mask.sum()) for piece in found] == [9]
    assert found[0].millimetres(found[0].voxels)[0].tolist() == [0.0, 0.0, 20.0]
    assert len(pieces(mask, (1.0, 1.0, 2.0))) == 2


def test_depth_is_the_distance_to_the_surface() -> None:
    inside = Inside.of(np.ones((3, 5, 5), dtype=bool), (2.0, 1.0, 1.0))
    assert inside is not None
    assert inside.depth.max() == pytest.approx(3.0)  # in-plane to the free border; 4 mm along z


def test_nothing_has_no_inside() -> None:
    assert Inside.of(np.zeros((2, 2, 2), dtype=bool), (1.0, 1.0, 1.0)) is None

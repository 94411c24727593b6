"""Centre lines of tubes."""

import numpy as np
import pytest

from ctcore.morphometry.centre_line import CentreLine, centre_line, smooth_line
from ctcore.morphometry.paths import Inside, Spacing
from tests.ctcore.morphometry.shapes import arc, tube


def line_of(mask: np.ndarray, spacing: Spacing) -> CentreLine | None:
    inside = Inside.of(mask, spacing)
    assert inside is not None
    return centre_line(inside)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8)])
@pytest.mark.parametrize("radius", [1.5, 4.0])
def test_the_line_of_a_bent_tube(spacing: Spacing, radius: float) -> None:
    shape = (int(15 / spacing[0]), int(28 / spacing[1]), int(40 / spacing[2]))
    line = line_of(tube(shape, spacing, arc(13.0, (6.5, 6.0, 20.0)), radius), spacing)
    assert line is not None
    assert line.length_mm == pytest.approx(np.pi * 13.0 + 2 * radius, rel=0.1)
    away = np.abs(np.linalg.norm(line.points[:, 1:] - [6.0, 20.0], axis=1) - 13.0)
    inner = (line.positions > 2 * radius) & (line.positions < line.length_mm - 2 * radius)
    assert away[inner].max() < np.linalg.norm(spacing)
    steps = np.diff(line.positions)
    assert steps == pytest.approx(np.full(len(steps), steps.mean()), rel=0.05)  # evenly spaced


def test_tangents_are_unit_vectors_along_the_curve() -> None:
    line = CentreLine(np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2]]))
    assert line.tangents == pytest.approx(np.array([[0.0, 0, 1]] * 3))
    assert line.reversed().tangents == pytest.approx(np.array([[0.0, 0, -1]] * 3))


def test_nearest_points_and_places() -> None:
    line = CentreLine(np.array([[0.0, 0, 0], [0, 0, 2], [0, 0, 4]]))
    assert line.nearest(np.array([[1.0, 0, 1.9], [0, 3, 9]])).tolist() == [1, 2]
    assert line.distance_mm([[0.0, 3.0, 0.0]]) == pytest.approx([3.0])
    assert line.at(np.array([1.0, 3.5])) == pytest.approx(np.array([[0.0, 0, 1], [0, 0, 3.5]]))


def test_a_ball_has_no_centre_line() -> None:
    assert line_of(tube((20, 20, 20), (1.0, 1.0, 1.0), [(9.0, 9, 9), (9, 9, 9.1)], 6.0), (1.0, 1.0, 1.0)) is None


@pytest.mark.parametrize("voxels", [1, 2, 4])
def test_few_voxels(voxels: int) -> None:
    way = np.stack([np.zeros(voxels), np.zeros(voxels), np.arange(voxels, dtype=np.float64)], 1)
    line = smooth_line(way, 1.0)
    assert (line is None) == (voxels == 1)
    assert line is None or line.length_mm == voxels - 1

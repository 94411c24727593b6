"""Surfaces: where the mask is, as large as it is, in the file format that viewers read."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from ctcore.volume import Geometry
from pipeline.viewer.surfaces import mz3, smooth, surface

GEOMETRY = Geometry((30, 40, 50), (0.8, 0.9, 2.0), (-20.0, 30.0, -100.0))


def ball(radius_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns a ball's mask (z, y, x) and its centre in LPS mm."""
    index = np.stack(np.meshgrid(*map(np.arange, GEOMETRY.shape), indexing="ij"), axis=-1)
    centre = GEOMETRY.index_to_physical((14, 20, 25))
    distance = np.linalg.norm(GEOMETRY.index_to_physical(index) - centre, axis=-1)
    return distance <= radius_mm, centre


def volume_mm3(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Returns what a closed surface encloses: the sum of the tetrahedra to the origin."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float(abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6)


def test_a_ball_stays_where_and_as_large_as_it_is() -> None:
    mask, centre = ball(12.0)
    vertices, faces = surface(mask, GEOMETRY)
    assert vertices.mean(axis=0) == pytest.approx(centre * (-1, -1, 1), abs=0.3)  # RAS
    assert np.linalg.norm(vertices - centre * (-1, -1, 1), axis=1) == pytest.approx(12.0, abs=1.0)
    voxels = float(mask.sum()) * GEOMETRY.voxel_volume_ml * 1000
    assert volume_mm3(vertices, faces) == pytest.approx(voxels, rel=0.05)


def test_a_duct_of_one_voxel_is_not_smoothed_away() -> None:
    mask = np.zeros(GEOMETRY.shape, dtype=bool)
    mask[14, 20, 5:45] = True
    vertices, _ = surface(mask, GEOMETRY)
    assert np.ptp(vertices[:, 0]) == pytest.approx(40 * 0.8, abs=1.0)
    assert np.ptp(vertices[:, 1]) == pytest.approx(0.6, abs=0.01)  # of 0.9


def test_what_touches_the_border_is_closed() -> None:
    mask = np.ones((2, 2, 2), dtype=bool)
    vertices, faces = surface(mask, Geometry((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    edges = np.sort(np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}
    assert len(vertices) == faces.max() + 1


def test_smoothing_by_hand() -> None:
    vertices = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    expected = vertices
    for _ in range(4):
        for step in (0.5, -0.53):  # each one's neighbours are the other two
            others = (expected.sum(axis=0) - expected) / 2
            expected = expected + step * (others - expected)
    assert smooth(vertices, np.array([[0, 1, 2]])) == pytest.approx(expected)


def test_nothing_has_no_surface() -> None:
    vertices, faces = surface(np.zeros((3, 3, 3), dtype=bool), GEOMETRY)
    assert (len(vertices), len(faces)) == (0, 0)
    assert mz3(vertices, faces) == struct.pack("<HHIII", 23117, 3, 0, 0, 0)


def test_the_file_by_hand() -> None:
    vertices = np.arange(9, dtype=np.float32).reshape(3, 3)
    content = mz3(vertices, np.array([[0, 1, 2]], np.int32))
    assert struct.unpack("<HHIII3i9f", content) == (23117, 3, 1, 3, 0, 0, 1, 2, *map(float, range(9)))

"""Shapes on the working grid against slow, obvious distances."""

import numpy as np
import pytest

from ctcore.phantom.deformation import Deformation
from ctcore.phantom.frame import Frame, is_empty
from ctcore.phantom.shapes import curve, ellipsoid, rotation_about, tube


def test_tube_equals_the_distance_to_its_nearest_ball(frame: Frame) -> None:
    points = np.array([[-10.0, 0.0, 0.0], [0.0, 2.0, 1.0], [9.0, -3.0, 4.0]])
    radii = np.array([3.0, 5.0, 4.0])
    patch = tube(frame, points, radii, with_nearest=True)
    assert patch is not None
    assert patch.nearest is not None
    x, y, z = frame.coordinates(patch.window)
    nodes = np.stack([x, y, z], axis=-1)[..., None, :]
    balls = np.linalg.norm(nodes - points, axis=-1) - radii
    known = patch.distance < 8.0
    np.testing.assert_allclose(patch.distance[known], balls.min(axis=-1)[known], atol=1e-4)
    np.testing.assert_array_equal(patch.nearest[known], balls.argmin(axis=-1)[known])
    assert np.all(balls.min(axis=-1)[~known] >= 8.0 - 1e-3)


def test_a_stretched_tube_is_taller_than_wide(frame: Frame) -> None:
    patch = tube(frame, np.array([[0.0, 0.0, 0.0]]), 6.0, stretch=(1.0, 1.0, 2.0))
    assert patch is not None
    x, _, z = frame.coordinates(patch.window)
    inside = patch.distance < 0
    assert x[inside].max() == pytest.approx(4.0)
    assert z[inside].max() == pytest.approx(10.0)


def test_a_shape_beside_the_grid_is_none(frame: Frame) -> None:
    assert tube(frame, np.array([[200.0, 0.0, 0.0]]), 5.0) is None
    assert ellipsoid(frame, (0.0, 0.0, -300.0), (5.0, 5.0, 5.0)) is None
    assert is_empty(frame.window((100, 100, 100), (120, 120, 120)))


def test_ellipsoid_is_negative_exactly_inside(frame: Frame) -> None:
    patch = ellipsoid(frame, (2.0, 0.0, -4.0), (12.0, 7.0, 9.0))
    assert patch is not None
    x, y, z = frame.coordinates(patch.window)
    level = ((x - 2.0) / 12.0) ** 2 + (y / 7.0) ** 2 + ((z + 4.0) / 9.0) ** 2
    np.testing.assert_array_equal(patch.distance < -1e-3, level < 1.0 - 1e-3)


def test_a_rotated_ellipsoid_points_where_it_is_turned(frame: Frame) -> None:
    patch = ellipsoid(frame, (0.0, 0.0, 0.0), (20.0, 6.0, 6.0), rotation=rotation_about(2, 90.0))
    assert patch is not None
    x, y, _ = frame.coordinates(patch.window)
    inside = patch.distance < 0
    assert y[inside].max() > 17.0
    assert x[inside].max() < 6.0


def test_a_tube_follows_the_deformation(bent: Deformation) -> None:
    frame = Frame((-40, -40, -40), (40, 40, 40), 2.0, bent)
    patch = tube(frame, np.array([[10.0, -8.0, 5.0]]), 8.0)
    assert patch is not None
    x, y, z = frame.coordinates(patch.window)
    inside = patch.distance < 0
    middle = [axis[inside].mean() for axis in (x, y, z)]
    np.testing.assert_allclose(middle, [10.0, -8.0, 5.0], atol=0.6)


def test_what_lies_far_from_the_grid_is_left_out_and_changes_nothing(bent: Deformation) -> None:
    frame = Frame((-20, -20, -20), (20, 20, 20), 2.0, bent)
    points = np.stack([np.linspace(-200, 200, 81), np.zeros(81), np.linspace(-40, 40, 81)], axis=1)
    patch = tube(frame, points, 6.0, with_nearest=True)
    assert patch is not None
    assert patch.nearest is not None
    x, y, z = np.meshgrid(*frame.axes, indexing="ij")
    nodes = np.stack([x, y, z], axis=-1).transpose(2, 1, 0, 3)[..., None, :]
    balls = np.linalg.norm(nodes - bent.to_grid(points), axis=-1) - 6.0
    distance = np.full(frame.shape, 1000.0)
    distance[patch.window] = patch.distance
    known = balls.min(axis=-1) < 8.0
    np.testing.assert_allclose(distance[known], balls.min(axis=-1)[known], atol=1e-3)
    index = np.full(frame.shape, -1)
    index[patch.window] = patch.nearest
    assert np.mean(index[known] == balls.argmin(axis=-1)[known]) > 0.99  # float32 ties


def test_a_curve_goes_through_its_control_points() -> None:
    controls = np.array([[0.0, 0.0, 0.0], [10.0, 5.0, 0.0], [20.0, 0.0, 6.0]])
    dense, position = curve(controls, 0.5)
    for number, control in enumerate(controls):
        nearest = dense[np.argmin(np.abs(position - number))]
        assert np.linalg.norm(nearest - control) < 0.3
    assert np.linalg.norm(np.diff(dense, axis=0), axis=1).max() < 1.0

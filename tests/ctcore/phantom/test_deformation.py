"""Displacement fields and their inverse."""

import numpy as np

from ctcore.phantom.deformation import Deformation


def test_the_inverse_of_the_deformation_undoes_it(bent: Deformation) -> None:
    points = np.random.default_rng(1).uniform(-60, 60, (40, 3))
    there = bent.to_grid(points)
    np.testing.assert_allclose(there + bent.at(there), points, atol=0.1)


def test_displacements_agree_on_axes_and_at_points(bent: Deformation) -> None:
    axis = np.array([-20.0, 3.0, 31.0])
    field = bent.on_axes(axis, axis + 1.0, axis - 2.0)
    points = np.array([[x, y, z] for z in axis - 2.0 for y in axis + 1.0 for x in axis])
    np.testing.assert_allclose(field.reshape(3, -1).T, bent.at(points), atol=1e-4)

"""Carrying values between grids against slow sums."""

import numpy as np
import pytest

from ctcore.phantom.sampling import carry, expose, kernel_weights


def test_every_target_is_a_weighted_mean() -> None:
    weights = kernel_weights(np.linspace(-5, 25, 7), np.arange(0.0, 21.0, 2.0), 1.0, 3.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
    assert weights.min() >= 0.0


def test_a_linear_ramp_is_kept_away_from_the_border() -> None:
    axis = np.arange(0.0, 40.0, 2.0)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    array = (1.0 * x + 2.0 * y - 3.0 * z).astype(np.float32)
    target = np.array([15.3, 18.0, 21.7])
    out = carry(array, (axis, axis, axis), (target, target, target), (1.0, 1.0, 1.0), (0.0, 0.0, 5.0))
    zz, yy, xx = np.meshgrid(target, target, target, indexing="ij")
    np.testing.assert_allclose(out, xx + 2 * yy - 3 * zz, atol=0.15)


@pytest.mark.parametrize("count", [5, 60])
def test_the_order_of_the_axes_does_not_matter(count: int) -> None:
    array = np.random.default_rng(0).normal(size=(20, 6, 7)).astype(np.float32)
    axes = (np.arange(7.0), np.arange(6.0), np.arange(20.0))
    targets = (np.linspace(1, 5, 4), np.linspace(1, 4, 5), np.linspace(2, 17, count))
    out = carry(array, axes, targets, (0.6, 0.6, 0.6))
    along = [kernel_weights(target, axis, 0.6, 0.0) for target, axis in zip(targets, axes, strict=True)]
    slow = np.einsum("zc,yb,xa,cba->zyx", along[2], along[1], along[0], array)
    np.testing.assert_allclose(out, slow, atol=1e-5)


def test_a_thick_slice_averages_what_it_covers() -> None:
    axis = np.arange(-20.0, 21.0, 1.0)
    array = np.zeros((41, 41, 41), dtype=np.float32)
    array[axis > 0.5] = 100.0
    thick = expose(array, (axis, axis, axis), (np.array([0.0]),) * 3, blur=0.7, thickness=10.0)
    assert thick[0, 0, 0] == pytest.approx(100.0 * 4.5 / 10.0, abs=1.5)

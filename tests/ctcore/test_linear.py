"""Weights of an axis, and their use in blocks and chunks against the plain product of matrices."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore import linear
from ctcore.geometry import Box, Triple
from ctcore.linear import linear_weights, resample_linear

SIZES = st.integers(1, 12)
SHAPES = st.tuples(SIZES, SIZES, SIZES)


@given(st.integers(2, 60), st.integers(1, 60))
def test_linear_ramps_stay_linear_inside(size: int, new_size: int) -> None:
    ratio = size / new_size
    centre = (np.arange(new_size) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    inside = (centre >= reach) & (centre <= size - 1 - reach)
    ramp = linear_weights(size, new_size) @ np.arange(size)
    # The triangle is exact where it covers whole voxels; else its samples are off by less than a tenth of a voxel.
    exact = ratio <= 1 or ratio == int(ratio)
    np.testing.assert_allclose(ramp[inside], centre[inside], atol=1e-4 if exact else 0.1)


@given(st.integers(1, 60), st.integers(1, 60))
def test_weights_are_an_average_and_symmetric(size: int, new_size: int) -> None:
    weights = linear_weights(size, new_size)
    assert weights.shape == (new_size, size)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-5)


def test_weights_by_hand() -> None:
    # twice the voxels: centres at -1/4, 1/4, 3/4, 5/4; outside, the edge is repeated
    np.testing.assert_allclose(linear_weights(2, 4), np.array([[4, 0], [3, 1], [1, 3], [0, 4]]) / 4)
    # half the voxels: a triangle of half-width 2 around 1/2 and 5/2: 1/8 3/8 3/8 1/8
    np.testing.assert_allclose(linear_weights(4, 2), np.array([[4, 3, 1, 0], [0, 1, 3, 4]]) / 8)
    np.testing.assert_array_equal(linear_weights(3, 3), np.eye(3))


def test_weights_are_shared_hence_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        linear_weights(3, 4)[0, 0] = 1


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@settings(max_examples=60, deadline=None)
@given(
    old=SHAPES,
    shape=SHAPES,
    block=st.sampled_from([1, 3, 16]),
    chunk=st.sampled_from([1, 500, 1 << 21]),
    product=st.sampled_from([1, 20, 1 << 18]),
    data=st.data(),
)
def test_blocks_and_chunks_change_nothing(
    dtype: type[np.generic], old: Triple, shape: Triple, block: int, chunk: int, product: int, data: st.DataObject
) -> None:
    values = np.random.default_rng(0).integers(-1000, 1000, (2, *old)).astype(dtype)
    z, y, x = (linear_weights(n, m).astype(np.float64) for n, m in zip(old, shape, strict=True))
    expected = np.einsum("cijk,zi,yj,xk->czyx", values, z, y, x)
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    wanted = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    with mock.patch.multiple(linear, BLOCK=block, CHUNK_BYTES=chunk, PRODUCT_SIZE=product):
        made = resample_linear(values, Box.whole(old), old, shape, wanted)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    np.testing.assert_allclose(made, expected[(slice(None), *wanted.slices)], rtol=1e-5, atol=2e-3)


def test_a_view_is_resampled_as_it_looks() -> None:
    values = np.random.default_rng(0).normal(size=(6, 7, 8))[::-1, :, ::-2].transpose(0, 2, 1)
    shape = (4, 9, 5)
    part = Box.whole(values.shape)
    expected = resample_linear(values.copy(), part, values.shape, shape, Box.whole(shape))
    np.testing.assert_array_equal(resample_linear(values, part, values.shape, shape, Box.whole(shape)), expected)


def test_no_copy_in_floating_point_is_made_of_a_large_image() -> None:
    import tracemalloc

    old, shape = (100, 256, 256), (20, 40, 40)
    values = np.zeros(old, np.int16)  # 13 MB, 26 MB as float32
    tracemalloc.start()
    try:
        resample_linear(values, Box.whole(old), old, shape, Box.whole(shape))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()

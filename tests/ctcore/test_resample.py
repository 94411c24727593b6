"""Resampling against a slow implementation, and what must not change."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ctcore.errors import GeometryError
from ctcore.geometry import Box, Triple
from ctcore.resample import (
    Interpolation,
    nearest_index,
    reach,
    resample_array,
    resample_part,
    resample_to_shape,
    resample_to_spacing,
    resampled_geometry,
    shape_for_spacing,
)
from ctcore.volume import Geometry, Volume

TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)

SIZES = st.integers(1, 9)
SHAPES = st.tuples(SIZES, SIZES, SIZES)
VALUES = st.integers(-1000, 1000)


def slow_linear(array: npt.NDArray[np.float64], shape: Triple) -> npt.NDArray[np.float64]:
    """Every new voxel as a sum over the triangle around its centre; outside, the edge voxel is repeated."""
    result = np.zeros(shape)
    for new in itertools.product(*(range(n) for n in shape)):
        axes = []
        for index, size, new_size in zip(new, array.shape, shape, strict=True):
            ratio = size / new_size
            centre = (index + 0.5) * ratio - 0.5
            width = max(1.0, ratio)
            axes.append(
                [
                    (min(max(tap, 0), size - 1), 1 - abs(tap - centre) / width)
                    for tap in range(-2 * size - 2, 3 * size + 2)
                    if abs(tap - centre) < width
                ]
            )
        total = weights = 0.0
        for (z, wz), (y, wy), (x, wx) in itertools.product(*axes):
            total += wz * wy * wx * array[z, y, x]
            weights += wz * wy * wx
        result[new] = total / weights
    return result


def slow_nearest(array: npt.NDArray[np.int16], shape: Triple) -> npt.NDArray[np.int16]:
    """Every new voxel is the old voxel that its centre lies in (on an edge: the upper one)."""
    result = np.zeros(shape, array.dtype)
    for new in itertools.product(*(range(n) for n in shape)):
        # exact in integers: floor((i + 1/2) * size / new_size)
        old = tuple((2 * i + 1) * n // (2 * m) for i, n, m in zip(new, array.shape, shape, strict=True))
        result[new] = array[old]
    return result


@settings(max_examples=40, deadline=None)
@given(
    st_numpy.arrays(np.int16, st.tuples(*[st.integers(1, 5)] * 3), elements=VALUES), st.tuples(*[st.integers(1, 7)] * 3)
)
def test_linear_is_the_slow_one(array: npt.NDArray[np.int16], shape: Triple) -> None:
    result = resample_array(array, shape)
    assert result.dtype == np.float32
    assert result.shape == shape
    np.testing.assert_allclose(result, slow_linear(array.astype(np.float64), shape), rtol=1e-5, atol=2e-3)


@settings(max_examples=40, deadline=None)
@given(st_numpy.arrays(np.int16, SHAPES, elements=VALUES), SHAPES)
def test_nearest_is_the_slow_one(array: npt.NDArray[np.int16], shape: Triple) -> None:
    result = resample_array(array, shape, "nearest")
    assert result.dtype == np.int16
    np.testing.assert_array_equal(result, slow_nearest(array, shape))


@pytest.mark.parametrize("order", ["linear", "nearest"])
@settings(deadline=None)
@given(shape=SHAPES, new=SHAPES, value=VALUES)
def test_constants_stay_constant(order: Interpolation, shape: Triple, new: Triple, value: int) -> None:
    result = resample_array(np.full(shape, value, np.int16), new, order)
    np.testing.assert_allclose(result, np.full(new, value), rtol=1e-5)


def test_nearest_by_hand() -> None:
    assert nearest_index(4, 2).tolist() == [1, 3]
    assert nearest_index(2, 4).tolist() == [0, 0, 1, 1]
    assert nearest_index(5, 3).tolist() == [0, 2, 4]


def test_fine_stripes_do_not_alias() -> None:
    stripes = np.zeros((1, 1, 64), np.float32)
    stripes[..., ::2] = 1000
    result = resample_array(stripes, (1, 1, 16))
    np.testing.assert_allclose(result[..., 1:-1], 500, atol=1e-3)


@pytest.mark.parametrize("shape", [(10, 20, 30), (40, 25, 11), (20, 20, 20), (33, 7, 20)])
def test_the_centroid_stays_in_the_patient(shape: Triple) -> None:
    geometry = Geometry((20, 20, 20), (1.5, 2.0, 0.8), (-50.0, 20.0, 300.0), TURNED)
    index = np.indices(geometry.shape).transpose(1, 2, 3, 0)
    blob = np.exp(-((index - (9.2, 10.7, 8.4)) ** 2).sum(axis=-1) / (2 * 2.5**2))

    def centroid(volume: Volume) -> npt.NDArray[np.float64]:
        points = volume.geometry.index_to_physical(np.indices(volume.geometry.shape).transpose(1, 2, 3, 0))
        return np.asarray((points * volume.array[..., None]).sum(axis=(0, 1, 2)) / volume.array.sum())

    before = Volume(blob.astype(np.float32), geometry)
    after = resample_to_shape(before, shape)
    np.testing.assert_allclose(centroid(after), centroid(before), atol=0.05)  # mm
    mass = [v.array.sum() * v.geometry.voxel_volume_ml for v in (before, after)]
    assert mass[1] == pytest.approx(mass[0], rel=0.01)


@given(SHAPES, SHAPES)
def test_the_field_of_view_is_kept(shape: Triple, new: Triple) -> None:
    geometry = Geometry(shape, (0.7, 0.9, 2.5), (-10.0, 20.0, 30.0), TURNED)
    resampled = resampled_geometry(geometry, new)
    assert resampled.shape == new
    np.testing.assert_allclose(resampled.extent_mm_zyx, geometry.extent_mm_zyx)
    for corner in itertools.product((0, 1), repeat=3):  # the outer edges of the voxels
        mine, other = np.multiply(corner, shape) - 0.5, np.multiply(corner, new) - 0.5
        np.testing.assert_allclose(resampled.index_to_physical(other), geometry.index_to_physical(mine), atol=1e-9)


@pytest.mark.parametrize("order", ["linear", "nearest"])
@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, new=SHAPES, data=st.data())
def test_a_box_is_a_part_of_the_whole(order: Interpolation, shape: Triple, new: Triple, data: st.DataObject) -> None:
    array = np.random.default_rng(0).normal(0, 100, shape).astype(np.float32)
    start = [data.draw(st.integers(0, n - 1)) for n in new]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, new, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    part, whole = resample_array(array, new, order, inside=box), resample_array(array, new, order)
    if order == "nearest":
        np.testing.assert_array_equal(part, whole[box.slices])
    else:
        np.testing.assert_allclose(part, whole[box.slices], rtol=1e-6, atol=1e-4)


def test_a_box_off_the_grid_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"\(0, 0, 0\) to \(2, 2, 3\) leaves the grid \(2, 2, 2\); clip it first"):
        resample_array(np.zeros((4, 4, 4)), (2, 2, 2), inside=Box((0, 0, 0), (2, 2, 3)))


@pytest.mark.parametrize("order", ["linear", "nearest"])
@pytest.mark.parametrize("lead", [(2,), (3, 2)])
def test_leading_axes_are_kept_apart(order: Interpolation, lead: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).normal(size=(*lead, 4, 5, 6)).astype(np.float32)
    shape: Triple
    for shape, inside in (((3, 7, 6), None), ((8, 2, 9), Box((2, 0, 3), (5, 2, 9)))):
        result = resample_array(array, shape, order, inside=inside)
        assert result.shape == (*lead, *(inside.shape if inside else shape))
        for index in np.ndindex(*lead):
            alone = resample_array(array[index], shape, order, inside=inside)
            np.testing.assert_allclose(result[index], alone, atol=1e-5)


@given(st_numpy.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 4, 6])), SHAPES)
def test_nearest_invents_no_label(labels: npt.NDArray[np.uint8], shape: Triple) -> None:
    result = resample_array(labels, shape, "nearest")
    assert result.dtype == np.uint8
    assert set(result.ravel()) <= set(labels.ravel())
    if all(m >= n for n, m in zip(labels.shape, shape, strict=True)):
        assert set(result.ravel()) == set(labels.ravel())


def test_nearest_doubles_voxels_and_halves_back() -> None:
    labels = np.random.default_rng(2).integers(0, 7, (3, 4, 5)).astype(np.uint8)
    doubled = resample_array(labels, (6, 8, 10), "nearest")
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    np.testing.assert_array_equal(resample_array(doubled, (3, 4, 5), "nearest"), labels)


def test_an_unchanged_grid_is_not_touched() -> None:
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), Geometry((2, 3, 4), (1.0, 1.0, 2.0)))
    assert resample_to_shape(volume, (2, 3, 4)) is volume
    same = resample_array(volume.array, (2, 3, 4))
    np.testing.assert_array_equal(same, volume.array)
    assert same.dtype == np.float32


def test_spacing_by_hand() -> None:
    geometry = Geometry((10, 20, 30), (0.5, 0.5, 3.0))  # 30 x 10 x 15 mm
    assert shape_for_spacing(geometry, (2.0, 1.0, 1.0)) == (15, 10, 15)
    assert shape_for_spacing(geometry, (1000.0, 4.0, 1.0)) == (1, 2, 15)  # never none
    labels = Volume(np.ones(geometry.shape, np.uint8), geometry)
    resampled = resample_to_spacing(labels, (2.0, 1.0, 1.0), "nearest")
    assert resampled.array.dtype == np.uint8
    assert resampled.geometry.spacing_zyx == pytest.approx((2.0, 1.0, 1.0))
    # The first voxel's centre moves inwards by half the difference of the voxel sizes.
    assert resampled.geometry.origin == pytest.approx((0.25, 0.25, -0.5))


@given(SHAPES, st.tuples(*[st.floats(0.1, 10)] * 3))
def test_the_spacing_is_the_nearest_that_fits(shape: Triple, spacing: tuple[float, float, float]) -> None:
    geometry = Geometry(shape, (0.7, 0.9, 2.5))
    for size, extent, wanted in zip(shape_for_spacing(geometry, spacing), geometry.extent_mm_zyx, spacing, strict=True):
        assert size == 1 or math.isclose(size, extent / wanted, abs_tol=0.5 + 1e-9)


def test_an_empty_shape_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"shape \(2, 0, 3\); every size"):
        resample_array(np.zeros((2, 2, 2)), (2, 0, 3))


@st.composite
def parts(draw: st.DrawFn) -> tuple[Box, Triple, Triple]:
    """A box of a grid, that grid's sizes, and those of another."""
    old, shape = draw(SHAPES), draw(SHAPES)
    start = [draw(st.integers(0, n - 1)) for n in old]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, old, strict=True)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])), old, shape


@given(parts())
def test_a_part_is_resampled_as_in_the_whole(case: tuple[Box, Triple, Triple]) -> None:
    box, old, shape = case
    rng = np.random.default_rng(0)
    whole, other = rng.normal(size=(2, *old)), rng.normal(size=(2, *old))
    other[(slice(None), *box.slices)] = whole[(slice(None), *box.slices)]
    expected, disturbed = resample_array(whole, shape), resample_array(other, shape)
    drawn_from_inside = np.isclose(expected, disturbed, atol=1e-6).all(axis=0)
    wanted = reach(box, old, shape)
    if wanted is None:
        assert not drawn_from_inside.any()
        return
    assert Box.of_mask(drawn_from_inside) == wanted
    assert drawn_from_inside[wanted.slices].all()
    part = resample_part(whole[(slice(None), *box.slices)], box, old, shape, wanted)
    np.testing.assert_allclose(part, expected[(slice(None), *wanted.slices)], atol=1e-5)


def test_what_is_not_known_is_not_resampled() -> None:
    part, box = np.ones((2, 2, 2)), Box((1, 1, 1), (3, 3, 3))
    with pytest.raises(GeometryError, match=r"box \(0, 2, 2\) to \(6, 6, 6\) of a grid of \(8, 8, 8\) draws on more"):
        resample_part(part, box, (4, 4, 4), (8, 8, 8), Box((0, 2, 2), (6, 6, 6)))

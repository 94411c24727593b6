"""Geometry and Volume: what they refuse, and indices to millimetres and back."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ctcore.errors import CaseError, GeometryError
from ctcore.volume import ORTHONORMAL_TOLERANCE, Geometry, Volume

SHAPE = (4, 6, 10)
SPACING = (0.5, 0.8, 2.0)
ORIGIN = (-10.0, 5.0, 100.0)
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # index x runs along P, index y along R


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = matrix * draw(st.sampled_from([1.0, -1.0]))  # mirrored frames are orthonormal too
    shape = draw(st.tuples(*[st.integers(1, 600)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.05, 20)] * 3))
    origin = draw(st.tuples(*[st.floats(-3000, 3000)] * 3))
    return Geometry(shape, spacing, origin, tuple(matrix.ravel()))


INDICES = st.lists(st.tuples(*[st.floats(-100, 700)] * 3), min_size=1, max_size=5)


@given(geometries(), INDICES)
def test_index_to_physical_and_back(geometry: Geometry, indices: list[tuple[float, float, float]]) -> None:
    points = geometry.index_to_physical(indices)
    assert points.shape == (len(indices), 3)
    np.testing.assert_allclose(geometry.physical_to_index(points), indices, atol=1e-6)


@given(geometries(), st.integers(0, 2))
def test_one_step_is_one_spacing_along_a_column(geometry: Geometry, axis_xyz: int) -> None:
    index = np.zeros(3)
    index[2 - axis_xyz] = 1
    step = geometry.index_to_physical(index) - geometry.index_to_physical((0, 0, 0))
    np.testing.assert_allclose(step, geometry.matrix[:, axis_xyz] * geometry.spacing[axis_xyz], atol=1e-9)


@given(geometries())
def test_itk_agrees(geometry: Geometry) -> None:
    import SimpleITK as sitk

    image = sitk.Image(2, 2, 2, sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    expected = image.TransformContinuousIndexToPhysicalPoint((3.5, -1.0, 7.25))
    np.testing.assert_allclose(geometry.index_to_physical((7.25, -1.0, 3.5)), expected, atol=1e-9)


def test_by_hand() -> None:
    geometry = Geometry(SHAPE, SPACING, ORIGIN)
    assert geometry.index_to_physical((1, 2, 3)).tolist() == [-10 + 3 * 0.5, 5 + 2 * 0.8, 102]
    turned = Geometry(SHAPE, SPACING, ORIGIN, TURNED)
    assert turned.index_to_physical((1, 2, 3)).tolist() == [-10 - 2 * 0.8, 5 + 3 * 0.5, 102]
    assert geometry.spacing_zyx == (2.0, 0.8, 0.5)
    assert geometry.size_xyz == (10, 6, 4)
    assert geometry.voxel_volume_ml == pytest.approx(0.0008)
    assert geometry.extent_mm_zyx == pytest.approx((8.0, 4.8, 5.0))


def test_arrays_of_any_leading_shape() -> None:
    geometry = Geometry(SHAPE, SPACING, ORIGIN, TURNED)
    indices = np.arange(24).reshape(2, 4, 3)
    points = geometry.index_to_physical(indices)
    assert points.shape == (2, 4, 3)
    np.testing.assert_array_equal(points[1, 2], geometry.index_to_physical(indices[1, 2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4, 6)}, r"shape \(4, 6\) is not three sizes"),
        ({"shape": (4, 0, 10)}, r"shape \(4, 0, 10\)"),
        ({"spacing": (0.5, 0.0, 2.0)}, r"spacing \(0\.5, 0\.0, 2\.0\) mm is not three positive"),
        ({"spacing": (0.5, -0.8, 2.0)}, r"spacing .*-0\.8"),
        ({"spacing": (math.nan, 0.8, 2.0)}, "spacing .*nan"),
        ({"spacing": (math.inf, 0.8, 2.0)}, "spacing .*inf"),
        ({"spacing": (0.5, 0.8)}, r"spacing \(0\.5, 0\.8\)"),
        ({"origin": (0.0, math.nan, 0.0)}, "origin .*nan.* three finite"),
        ({"origin": (0.0, 0.0)}, r"origin \(0\.0, 0\.0\)"),
        ({"direction": (1.0, 0.0, 0.0, 1.0)}, "direction .* is not nine finite"),
        ({"direction": (math.nan,) * 9}, "direction .* is not nine finite"),
        ({"direction": (0.0,) * 9}, "not orthonormal"),
        ({"direction": (2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)}, "not orthonormal"),
        ({"direction": (1.0, 0.1, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)}, r"direction .*0\.1.*sheared"),
        ({"direction": (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)}, "not orthonormal"),
    ],
)
def test_impossible_grids_are_refused(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"shape": SHAPE, "spacing": SPACING, "origin": ORIGIN, **change}
    with pytest.raises(GeometryError, match=message) as caught:
        Geometry(**fields)
    assert isinstance(caught.value, CaseError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("factor", "accepted"), [(0.4, True), (4.0, False)])
def test_rounding_is_accepted_and_shear_is_not(factor: float, accepted: bool) -> None:
    sheared = (1.0, factor * ORTHONORMAL_TOLERANCE, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    if accepted:
        assert Geometry(SHAPE, SPACING, ORIGIN, sheared).direction == sheared
    else:
        with pytest.raises(GeometryError, match="not orthonormal"):
            Geometry(SHAPE, SPACING, ORIGIN, sheared)


def test_numpy_numbers_become_python_numbers() -> None:
    geometry = Geometry(*(tuple(np.array(value)) for value in (SHAPE, SPACING, ORIGIN, TURNED)))
    assert {type(n) for n in geometry.shape} == {int}
    assert {type(v) for v in (*geometry.spacing, *geometry.origin, *geometry.direction)} == {float}
    assert geometry == Geometry(SHAPE, SPACING, ORIGIN, TURNED)
    assert hash(geometry) == hash(Geometry(SHAPE, SPACING, ORIGIN, TURNED))


def moved(**change: Any) -> Geometry:
    return Geometry(**{"shape": SHAPE, "spacing": SPACING, "origin": ORIGIN, **change})


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (moved(), True),
        (moved(spacing=(0.5004, 0.8, 2.0)), True),
        (moved(spacing=(0.501, 0.8, 2.0)), False),
        (moved(origin=(-10.0004, 5.0, 100.0)), True),
        (moved(origin=(-10.0, 5.0, 100.0006)), False),  # 0.0006 mm of the smallest voxel size 0.5 mm
        (moved(direction=TURNED), False),
        (moved(shape=(4, 10, 6)), False),
    ],
)
def test_allclose(other: Geometry, same: bool) -> None:
    assert moved().allclose(other) is same
    assert other.allclose(moved()) is same


@pytest.mark.parametrize(
    "make", [lambda: np.zeros((4, 6)), lambda: np.zeros((10, 6, 4)), lambda: np.zeros((1, 4, 6, 10))]
)
def test_a_volume_lies_on_its_grid(make: Callable[[], Any]) -> None:
    with pytest.raises(GeometryError, match=r"does not lie on a grid of shape \(4, 6, 10\)"):
        Volume(make(), moved())


def test_other_values_on_the_same_grid() -> None:
    volume = Volume(np.zeros(SHAPE), moved())
    ones = volume.with_array(np.ones(SHAPE, np.uint8))
    assert ones.geometry is volume.geometry
    assert ones.array.dtype == np.uint8
    assert not volume.array.any()
    with pytest.raises(GeometryError, match="does not lie"):
        volume.with_array(np.ones((1, 1, 1)))

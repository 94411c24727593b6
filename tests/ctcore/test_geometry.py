"""Boxes, crop, paste and the way to LPS and back."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy.spatial.transform import Rotation

from ctcore.errors import GeometryError
from ctcore.geometry import Box, Inset, Triple, as_stored, crop, paste, to_lps
from ctcore.volume import Geometry, Volume

SHAPE = (3, 4, 5)
SPACING = (0.5, 0.8, 2.0)
ORIGIN = (-10.0, 5.0, 100.0)

ORIENTATIONS = [
    tuple(float(v) for v in (np.eye(3)[:, order] * signs).ravel())
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""All 48 directions along the body's axes."""


@st.composite
def boxes(draw: st.DrawFn, shape: Triple = SHAPE) -> Box:
    """Boxes within a grid of `shape`."""
    start = [draw(st.integers(0, n - 1)) for n in shape]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def ramp(direction: tuple[float, ...] = Geometry((1, 1, 1), (1, 1, 1)).direction) -> Volume:
    """A volume whose values are all different."""
    return Volume(np.arange(60, dtype=np.int16).reshape(SHAPE), Geometry(SHAPE, SPACING, ORIGIN, direction))


# --- boxes


@given(st_numpy.arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
def test_of_mask_is_the_tightest_box(mask: np.ndarray) -> None:
    box = Box.of_mask(mask)
    hits = np.argwhere(mask)
    if not len(hits):
        assert box is None
        return
    assert box == Box(tuple(hits.min(axis=0).tolist()), tuple((hits.max(axis=0) + 1).tolist()))
    assert mask[box.slices].sum() == mask.sum()


def test_of_mask_takes_any_nonzero_value() -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3], labels[3, 2, 5] = 4, 1
    assert Box.of_mask(labels) == Box((1, 2, 3), (4, 3, 6))


def test_measures_by_hand() -> None:
    box = Box((1, 2, 3), (4, 3, 8))
    assert box.shape == (3, 1, 5)
    assert box.voxels == 15
    assert box.slices == (slice(1, 4), slice(2, 3), slice(3, 8))
    assert box.expand((1, 0, 5)) == Box((0, 2, -2), (5, 3, 13))
    # 5 mm are 2.5 voxels of 2 mm, 4 mm exactly 5 of 0.8 mm, 0 mm none
    assert box.expand_mm((5.0, 4.0, 0.0), (2.0, 0.8, 0.5)) == Box((-2, -3, 3), (7, 8, 8))
    assert box.expand((1, 0, 5)).clip((4, 4, 10)) == Box((0, 2, 0), (4, 3, 10))
    assert Box.whole((3, 4, 5)) == Box((0, 0, 0), (3, 4, 5))


@given(boxes(), st.tuples(*[st.floats(0, 30)] * 3), st.tuples(*[st.floats(0.1, 5)] * 3))
def test_expand_mm_grows_by_at_least_the_margin(
    box: Box, margin: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    grown = box.expand_mm(margin, spacing)
    for axis in range(3):
        before, after = box.start[axis] - grown.start[axis], grown.stop[axis] - box.stop[axis]
        assert before == after
        assert (before + 1e-9) * spacing[axis] >= margin[axis] - 1e-6
        assert (before - 1) * spacing[axis] < margin[axis]


@pytest.mark.parametrize(
    ("start", "stop"),
    [((0, 0, 0), (0, 1, 1)), ((0, 2, 0), (1, 1, 1)), ((0, 0), (1, 1)), ((0, 0, 0), (1, 1))],
)
def test_empty_boxes_are_refused(start: Triple, stop: Triple) -> None:
    with pytest.raises(GeometryError, match=r"box \(0, .* is empty"):
        Box(start, stop)


def test_a_box_off_the_grid_cannot_be_clipped() -> None:
    with pytest.raises(GeometryError, match="empty"):
        Box((0, 0, 7), (2, 2, 9)).clip((5, 5, 5))
    with pytest.raises(GeometryError, match="empty"):
        Box((-3, 0, 0), (0, 2, 2)).clip((5, 5, 5))


# --- crop and paste


@given(boxes(), st.sampled_from(ORIENTATIONS))
def test_a_crop_keeps_its_place(box: Box, direction: tuple[float, ...]) -> None:
    volume = ramp(direction)
    part = crop(volume, box)
    np.testing.assert_array_equal(part.array, volume.array[box.slices])
    for corner in ((0, 0, 0), tuple(n - 1 for n in box.shape)):
        whole_index = np.add(corner, box.start)
        np.testing.assert_allclose(
            part.geometry.index_to_physical(corner), volume.geometry.index_to_physical(whole_index), atol=1e-9
        )
    assert part.geometry.spacing == SPACING
    assert part.geometry.direction == direction


@given(boxes(), st.sampled_from([0, 7]))
def test_paste_undoes_crop_inside_and_fills_outside(box: Box, fill: int) -> None:
    volume = ramp()
    pasted = paste(crop(volume, box).array, box, SHAPE, fill)
    inside = np.zeros(SHAPE, bool)
    inside[box.slices] = True
    np.testing.assert_array_equal(pasted[inside], volume.array[inside])
    assert (pasted[~inside] == fill).all()
    assert pasted.dtype == volume.array.dtype


@pytest.mark.parametrize("box", [Box((-1, 0, 0), (2, 2, 2)), Box((0, 0, 0), (3, 5, 5))])
def test_a_crop_off_the_grid_is_refused(box: Box) -> None:
    with pytest.raises(GeometryError, match=r"leaves the grid \(3, 4, 5\); clip it first"):
        crop(ramp(), box)


# --- reorientation


@pytest.mark.parametrize("direction", ORIENTATIONS)
def test_lps_and_back_for_every_orientation(direction: tuple[float, ...]) -> None:
    volume = ramp(direction)
    lps, reorientation = to_lps(volume)
    np.testing.assert_array_equal(lps.geometry.matrix, np.eye(3))
    assert lps.array.flags.c_contiguous

    for value in range(60):  # every voxel stays where it is in the patient
        before = volume.geometry.index_to_physical(np.argwhere(volume.array == value)[0])
        after = lps.geometry.index_to_physical(np.argwhere(lps.array == value)[0])
        np.testing.assert_allclose(after, before, atol=1e-9)

    restored = reorientation.restore(lps.array)
    np.testing.assert_array_equal(restored, volume.array)
    assert restored.flags.c_contiguous
    assert reorientation.stored is volume.geometry
    np.testing.assert_array_equal(reorientation.apply(volume.array), lps.array)


@given(st.sampled_from(ORIENTATIONS), st.data())
def test_a_box_goes_back_to_the_same_voxels(direction: tuple[float, ...], data: st.DataObject) -> None:
    volume = ramp(direction)
    lps, reorientation = to_lps(volume)
    box = data.draw(boxes(lps.geometry.shape))
    stored = reorientation.restore_box(box)
    assert set(volume.array[stored.slices].ravel()) == set(lps.array[box.slices].ravel())
    assert stored.voxels == box.voxels


def test_an_image_in_lps_is_left_as_it_is() -> None:
    volume = ramp()
    lps, reorientation = to_lps(volume)
    assert lps.geometry == volume.geometry
    assert (reorientation.axes, reorientation.flips) == ((0, 1, 2), (False, False, False))


def test_a_nifti_as_most_are_by_hand() -> None:
    """RAS storage: x and y run against L and P."""
    volume = ramp((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    lps, reorientation = to_lps(volume)
    np.testing.assert_array_equal(lps.array, volume.array[:, ::-1, ::-1])
    assert lps.geometry.origin == pytest.approx((-10 - 4 * 0.5, 5 - 3 * 0.8, 100))
    assert reorientation.restore_box(Box((0, 0, 0), (1, 1, 2))) == Box((0, 3, 3), (1, 4, 5))


@given(st.sampled_from(ORIENTATIONS), st.tuples(*[st.floats(-20, 20)] * 3))
def test_an_oblique_grid_keeps_its_rotation(direction: tuple[float, ...], angles: tuple[float, float, float]) -> None:
    tilt = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    oblique = tilt @ np.reshape(direction, (3, 3))
    volume = ramp(tuple(float(v) for v in oblique.ravel()))
    lps, reorientation = to_lps(volume)
    np.testing.assert_allclose(lps.geometry.matrix, tilt, atol=1e-12)
    np.testing.assert_array_equal(reorientation.restore(lps.array), volume.array)
    for value in (0, 37):
        before = volume.geometry.index_to_physical(np.argwhere(volume.array == value)[0])
        after = lps.geometry.index_to_physical(np.argwhere(lps.array == value)[0])
        np.testing.assert_allclose(after, before, atol=1e-9)


# --- insets


@given(boxes())
def test_an_inset_is_0_outside(box: Box) -> None:
    volume = ramp()
    inset = Inset(volume.array[box.slices], box, volume.geometry)
    assert inset.whole().geometry is volume.geometry
    np.testing.assert_array_equal(inset.whole().array, paste(volume.array[box.slices], box, SHAPE))
    assert Inset.of(inset) is inset
    np.testing.assert_array_equal(Inset.of(volume).whole().array, volume.array)


def test_insets_that_do_not_fit_are_refused() -> None:
    volume, box = ramp(), Box((0, 0, 0), (1, 2, 2))
    with pytest.raises(GeometryError, match=r"shape \(3, 4, 5\) does not fill a box of \(1, 2, 2\)"):
        Inset(volume.array, box, volume.geometry)
    with pytest.raises(GeometryError, match="leaves the grid"):
        Inset(np.zeros((3, 4, 6)), Box((0, 0, 0), (3, 4, 6)), volume.geometry)


@pytest.mark.parametrize("order", ["LPS", "RAS", "SAR", "AIL", "PIR"])
def test_the_way_there_and_back_of_boxes_and_crops(order: str) -> None:
    import SimpleITK as sitk

    from ctcore.itk import from_sitk, to_sitk

    lps = Volume(np.arange(5 * 6 * 7).reshape(5, 6, 7), Geometry((5, 6, 7), (1.0, 2.0, 3.0), (9.0, 8.0, 7.0)))
    stored = from_sitk(sitk.DICOMOrient(to_sitk(lps), order))
    turned, way = to_lps(stored)
    box = Box((1, 2, 1), (3, 5, 6))
    np.testing.assert_array_equal(turned.array, lps.array)
    assert way.apply_box(way.restore_box(box)) == box
    part = crop(stored, way.restore_box(box))
    assert way.restore_geometry(crop(turned, box).geometry).allclose(part.geometry, 1e-9)
    np.testing.assert_array_equal(way.apply(part.array), crop(turned, box).array)


def test_as_stored_changes_nothing() -> None:
    volume = Volume(np.zeros((2, 3, 4)), Geometry((2, 3, 4), (1, 1, 1), direction=(0, 1, 0, 1, 0, 0, 0, 0, -1)))
    same, way = as_stored(volume)
    assert same is volume
    assert way.restore_box(Box((0, 1, 2), (1, 2, 3))) == Box((0, 1, 2), (1, 2, 3))
    np.testing.assert_array_equal(way.restore(volume.array), volume.array)

"""Guided windows: every voxel near the mask is covered, in the image, by no more windows than the exact grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.geometry import Box, Triple
from ctcore.inference.cover import LEAST_OVERLAP, Guide, cover_interval, guided_windows, hull
from ctcore.inference.windows import Padding, place_windows


def dilated(mask: np.ndarray, margin: Triple) -> np.ndarray:
    """The slow, obvious dilation by a cuboid."""
    result = np.zeros_like(mask)
    for z, y, x in np.argwhere(mask):
        near = tuple(slice(max(i - m, 0), i + m + 1) for i, m in zip((z, y, x), margin, strict=True))
        result[near] = True
    return result


@st.composite
def guides(draw: st.DrawFn) -> tuple[Guide, Triple]:
    """A few blobs in a small image, a margin, and windows that fit the image."""
    shape = draw(st.tuples(*[st.integers(1, 24)] * 3))
    patch = tuple(draw(st.integers(1, n)) for n in shape)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(draw(st.integers(1, 4))):
        start = [draw(st.integers(0, n - 1)) for n in shape]
        mask[tuple(slice(a, a + draw(st.integers(1, 6))) for a in start)] = True
    margin = draw(st.tuples(*[st.integers(0, 5)] * 3))
    return Guide(mask, margin), (patch[0], patch[1], patch[2])


@given(guides())
def test_mask_and_margin_are_covered_inside_the_image(case: tuple[Guide, Triple]) -> None:
    guide, patch = case
    windows = guided_windows(guide, patch)
    covered = np.zeros(guide.mask.shape, dtype=bool)
    for window in windows:
        assert window.shape == patch
        assert min(window.start) >= 0
        assert all(b <= n for b, n in zip(window.stop, guide.mask.shape, strict=True))
        covered[window.slices] = True
    assert not (dilated(guide.mask, guide.margin) & ~covered).any()
    depth, height, width = guide.mask.shape
    assert len(windows) <= len(place_windows((depth, height, width), patch))
    assert len({window.start for window in windows}) == len(windows)
    around = hull(windows)
    assert Box.of_mask(covered) == around


@given(st.data())
def test_neighbours_overlap_and_no_fewer_would_do(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 200))
    window = data.draw(st.integers(1, length))
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    starts = cover_interval(start, stop, length, window)
    overlap = min(int(np.ceil(LEAST_OVERLAP * window)), window - 1)
    assert starts[0] <= start
    assert starts[0] >= 0
    assert stop <= starts[-1] + window <= length
    assert all(a < b and a + window - b >= overlap for a, b in itertools.pairwise(starts))
    if len(starts) > 1:  # one window fewer, at their greatest distance, does not reach
        assert window + (len(starts) - 2) * (window - overlap) < stop - start


def test_one_window_lies_around_the_middle_of_a_small_mask() -> None:
    mask = np.zeros((20, 30, 40), dtype=bool)
    mask[9:11, 13:17, 30:32] = True
    (window,) = guided_windows(Guide(mask, (1, 1, 1)), (10, 12, 14))
    assert window == Box((5, 9, 24), (15, 21, 38))


def test_a_slanted_organ_needs_no_window_in_the_empty_corners() -> None:
    mask = np.zeros((8, 40, 80), dtype=bool)
    mask[2:6, 2:8, 2:30] = True
    mask[2:6, 32:38, 50:78] = True
    mask[2:6, 5:35, 28:52] = True
    tight = Box.of_mask(mask)
    assert tight is not None
    windows = guided_windows(Guide(mask, (0, 0, 0)), (8, 20, 40))
    whole = np.zeros_like(mask)
    whole[tight.slices] = True
    assert len(windows) < len(guided_windows(Guide(whole, (0, 0, 0)), (8, 20, 40)))


def test_an_empty_mask_and_a_cover_that_saves_nothing_take_the_exact_grid() -> None:
    exact = place_windows((8, 18, 24), (8, 12, 16))
    assert len(exact) == 4
    mask = np.zeros((8, 18, 24), dtype=bool)
    assert guided_windows(Guide(mask, (2, 2, 2)), (8, 12, 16)) == exact
    mask[:, 2:-2, 1:-1] = True
    assert guided_windows(Guide(mask, (0, 0, 0)), (8, 12, 16)) == exact


def test_slices_are_taken_where_the_mask_and_its_margin_are() -> None:
    mask = np.zeros((30, 16, 16), dtype=bool)
    mask[10:14, 4:9, 4:9] = True
    windows = guided_windows(Guide(mask, (2, 1, 1)), (1, 12, 12))
    assert sorted(window.start[0] for window in windows) == list(range(8, 16))


def test_the_margin_is_rounded_up_to_voxels() -> None:
    assert Guide.around(np.ones((2, 2, 2), np.uint8), (1.5, 0.747, 10.0)).margin == (7, 14, 1)


def test_a_mask_is_padded_with_its_image() -> None:
    guide = Guide(np.ones((2, 4, 4), dtype=bool), (1, 1, 1)).padded(Padding.to_fit((2, 4, 4), (4, 4, 5)))
    assert guide.mask.shape == (4, 4, 5)
    assert guide.mask.sum() == 32
    assert len(guided_windows(guide, (4, 4, 5))) == 1


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit an image"):
        guided_windows(Guide(np.ones((2, 2, 2), dtype=bool), (1, 1, 1)), (4, 2, 2))

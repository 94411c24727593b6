from __future__ import annotations

import numpy as np
import pytest
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

from ctcore.geometry import Triple
from ctcore.inference.windows import Padding, gaussian_weight, place_windows, window_starts

patches = st.tuples(*[st.integers(1, 192)] * 3)
margins = st.tuples(*[st.integers(0, 400)] * 3)
lengths = st.tuples(*[st.integers(1, 40)] * 3)


@settings(deadline=None)
@given(patches, margins, st.sampled_from([0.25, 0.3, 0.5, 0.7, 1.0]))
def test_starts_are_those_of_nnunet(patch: Triple, margin: Triple, step: float) -> None:
    z, y, x = (p + m for p, m in zip(patch, margin, strict=True))
    expected = compute_steps_for_sliding_window((z, y, x), patch, step)
    for length, starts, theirs in zip(patch, window_starts((z, y, x), patch, step), expected, strict=True):
        if length * step >= 1:
            assert list(starts) == theirs
        else:  # theirs would place some windows twice
            assert list(starts) == sorted(set(theirs) | set(starts))
            assert len(set(starts)) == len(starts)


def test_windows_of_one_slice_are_the_slices() -> None:
    assert window_starts((5, 8, 9), (1, 8, 6)) == ((0, 1, 2, 3, 4), (0,), (0, 3))
    assert [window.start for window in place_windows((3, 4, 4), (1, 4, 4))] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_starts_by_hand() -> None:
    # nnU-Net's own example: 110 voxels, windows of 64, half a window apart at most: 0, 23, 46.
    assert window_starts((110, 64, 96), (64, 64, 64)) == ((0, 23, 46), (0,), (0, 32))


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(0, 12)] * 3))
def test_windows_cover_the_image_and_stay_inside(patch: Triple, margin: Triple) -> None:
    z, y, x = (p + m for p, m in zip(patch, margin, strict=True))
    seen = np.zeros((z, y, x), bool)
    for window in place_windows((z, y, x), patch, 1.0):
        assert window.shape == patch
        assert min(window.start) >= 0
        assert all(stop <= n for stop, n in zip(window.stop, (z, y, x), strict=True))
        seen[window.slices] = True
    assert seen.all()


@pytest.mark.parametrize("step", [0.0, -0.5, 1.5, float("nan")])
def test_a_step_out_of_range_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match=f"step {step}"):
        window_starts((8, 8, 8), (4, 4, 4), step)


def test_an_image_smaller_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4, 4\) do not fit an image of \(8, 3, 8\)"):
        window_starts((8, 3, 8), (4, 4, 4))


@pytest.mark.parametrize("patch", [(64, 64, 96), (48, 128, 288), (5, 7, 16), (1, 3, 2)])
def test_weight_is_that_of_nnunet(patch: Triple) -> None:
    expected = compute_gaussian(patch, 1 / 8, dtype=torch.float64, device=torch.device("cpu")).numpy()
    weight = gaussian_weight(patch)
    assert weight.dtype == np.float32
    assert weight.max() == 1
    assert weight.min() > 0
    np.testing.assert_allclose(weight, expected, rtol=1e-6)


@settings(deadline=None)
@given(lengths, lengths)
def test_padding_is_that_of_nnunet(shape: Triple, patch: Triple) -> None:
    image = np.random.default_rng(0).random((2, *shape), np.float32)
    padding = Padding.to_fit(shape, patch)
    padded = padding.apply(image, -3.0)
    expected = pad_nd_image(image, patch, "constant", {"constant_values": -3.0})
    np.testing.assert_array_equal(padded, expected)


def test_padding_by_hand() -> None:
    padding = Padding.to_fit((1, 2, 5), (4, 2, 3))
    assert padding == Padding((1, 0, 0), (2, 0, 0))
    padded = padding.apply(np.full((1, 2, 5), 7.0), 9.0)
    np.testing.assert_array_equal(padded[:, 0, 0], [9, 7, 9, 9])

"""Values of label maps against numpy's own counting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ctcore.datasets.label_values import label_values, relabelled


@given(
    st.sampled_from([np.uint8, np.int16, np.int32, np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(dtype, (2, 3, 4), elements=st.integers(0, 120))
    )
)
def test_counts(array: npt.NDArray[np.generic]) -> None:
    values, counts = np.unique(array, return_counts=True)
    found = label_values(array)
    assert list(found.counts.items()) == [(int(v), int(c)) for v, c in zip(values, counts, strict=True)]
    assert found.fraction == 0


def test_values_beyond_a_byte() -> None:
    array = np.array([[[-1, 0], [300, 300]], [[0, 0], [0, 255]]], np.int16)
    assert label_values(array).counts == {-1: 1, 0: 4, 255: 1, 300: 2}


@pytest.mark.parametrize(("value", "fraction"), [(1.5, 0.5), (2.25, 0.25), (np.nan, np.inf), (np.inf, np.inf)])
def test_fractions(value: float, fraction: float) -> None:
    array = np.zeros((2, 2, 2), np.float32)
    array[1, 0, 1] = value
    found = label_values(array)
    assert found.fraction == fraction
    assert found.has_fractions


def test_rounding_of_a_format_is_no_fraction() -> None:
    found = label_values(np.full((1, 2, 2), 1.00001525, np.float32))  # as in published masks
    assert not found.has_fractions
    assert found.counts == {1: 4}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_other_values(dtype: npt.DTypeLike) -> None:
    array = np.array([[[0, 1, 2], [2, 1, 0]]], dtype)
    made = relabelled(array, {0: 0, 1: 2, 2: 1})  # a swap: nothing is replaced twice
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, [[[0, 2, 1], [1, 2, 0]]])
    np.testing.assert_array_equal(relabelled(array, {0: 0, 1: 1, 2: 2}), array)


def test_values_of_float_formats_are_rounded() -> None:
    assert relabelled(np.full((1, 1, 1), 1.00001525, np.float32), {1: 1}).tolist() == [[[1]]]
    assert relabelled(np.full((1, 1, 1), 0.9999, np.float32), {1: 4}).tolist() == [[[4]]]

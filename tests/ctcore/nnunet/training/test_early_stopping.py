"""Epochs without improvement, by hand and against a slow obvious count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.nnunet.training.early_stopping import epochs_without_improvement


@pytest.mark.parametrize(
    ("values", "first", "expected"),
    [
        ([], 0, 0),
        ([0.5], 0, 0),
        ([0.5, 0.4, 0.4], 0, 2),
        ([0.5, 0.4, 0.6], 0, 0),
        ([0.5, 0.5, 0.5], 0, 2),
        ([0.9, 0.4, 0.6, 0.5], 1, 1),
        ([0.9, 0.4], 2, 0),
        ([math.nan, math.nan], 0, 2),
        ([0.1, math.nan, 0.2], 0, 0),
    ],
)
def test_by_hand(values: list[float], first: int, expected: int) -> None:
    assert epochs_without_improvement(values, first) == expected


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(0, 25))
def test_against_the_place_of_the_maximum(values: list[int], first: int) -> None:
    counted = values[first:]
    expected = len(counted) - 1 - counted.index(max(counted)) if counted else 0
    assert epochs_without_improvement([float(value) for value in values], first) == expected

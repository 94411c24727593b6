"""Priors and weights from counts, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError
from stage2_multitask.class_frequencies import class_priors, inverse_frequency_weights


def test_by_hand() -> None:
    counts = {"non-PDAC": 30, "PDAC": 10}
    assert class_priors(counts) == (0.75, 0.25)
    assert inverse_frequency_weights(counts) == pytest.approx((40 / 60, 40 / 20))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_every_class_weighs_the_same(numbers: list[int]) -> None:
    counts = {str(i): n for i, n in enumerate(numbers)}
    weights = inverse_frequency_weights(counts)
    products = [weight * n for weight, n in zip(weights, numbers, strict=True)]
    assert products == pytest.approx([products[0]] * len(numbers))
    assert sum(products) == pytest.approx(sum(numbers))


@pytest.mark.parametrize("function", [class_priors, inverse_frequency_weights])
def test_a_class_without_cases_is_named(function: Callable[..., object]) -> None:
    with pytest.raises(DatasetError, match="class 'cystic' has 0 training cases; add cases of it"):
        function({"solid": 3, "cystic": 0})

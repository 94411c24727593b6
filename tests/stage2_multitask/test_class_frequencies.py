"""Priors and weights from counts, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DatasetError
from stage2_multitask.class_frequencies import class_priors, inverse_frequency_weights, without_priors


def test_by_hand() -> None:
    counts = {"non-PDAC": 30, "PDAC": 10}
    assert class_priors(counts) == (0.75, 0.25)
    assert inverse_frequency_weights(counts) == pytest.approx((40 / 60, 40 / 20))


def test_without_priors_the_evidence_is_left() -> None:
    """Likelihoods 2 : 1 and priors 1 : 4 make probabilities 1/3 and 2/3; without the priors 2/3 and 1/3 are left."""
    logits = np.log(np.array([1 / 3, 2 / 3], dtype=np.float32))
    left = np.exp(without_priors(logits, (0.2, 0.8)))
    assert left / left.sum() == pytest.approx([2 / 3, 1 / 3], rel=1e-5)
    halfway = np.exp(without_priors(logits, (0.2, 0.8), 0.5))
    assert halfway[0] / halfway[1] == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_array_equal(without_priors(logits, (0.2, 0.8), 0.0), logits)


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

"""How often each case is drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stage2_multitask.sampling import balanced_probabilities


def test_by_hand() -> None:
    assert balanced_probabilities([0, 1, 1, 1]).tolist() == [1 / 2, 1 / 6, 1 / 6, 1 / 6]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
def test_every_class_as_often_as_every_other(classes: list[int]) -> None:
    probabilities = balanced_probabilities(classes)
    sums = [probabilities[np.array(classes) == value].sum() for value in set(classes)]
    np.testing.assert_allclose(sums, 1 / len(set(classes)))

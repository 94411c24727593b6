"""How often each case is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage2_multitask.patch_settings import SyntheticLesionSettings
from stage2_multitask.sampling import balanced_probabilities, probabilities_beside_synthetic


def test_by_hand() -> None:
    assert balanced_probabilities([0, 1, 1, 1]).tolist() == [1 / 2, 1 / 6, 1 / 6, 1 / 6]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
def test_every_class_as_often_as_every_other(classes: list[int]) -> None:
    probabilities = balanced_probabilities(classes)
    sums = [probabilities[np.array(classes) == value].sum() for value in set(classes)]
    np.testing.assert_allclose(sums, 1 / len(set(classes)))


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_half_of_the_patches_show_a_lesion(share: float) -> None:
    probabilities = probabilities_beside_synthetic([True, False, False, False], share)
    assert probabilities.sum() == pytest.approx(1)
    synthetic = probabilities[1:].sum() * SyntheticLesionSettings(share=share, class_name="PDAC").chance
    assert (probabilities[0], synthetic) == (pytest.approx((1 - share) / 2), pytest.approx(share / 2))

"""Noise: found whatever the organs, the edges and the slices; nothing where there is no soft tissue."""

from __future__ import annotations

import numpy as np
import pytest

from ctcore.quality.noise import half_sample_mode, noise_hu

SPACING = (2.5, 0.8, 0.8)


def organs(noise: float, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Returns (12, 120, 120) HU: two organs, fat between them, bone, air around, and noise."""
    image = np.full((12, 120, 120), -1000.0)
    image[:, 10:110, 10:110] = -100
    image[:, 20:60, 15:105] = 105
    image[:, 66:100, 15:80] = 60
    image[:, 66:100, 84:104] = 700
    return image + np.random.default_rng(seed).normal(0, noise, image.shape)


@pytest.mark.parametrize("noise", [4.0, 12.0, 40.0])
def test_noise_is_found_beside_edges(noise: float) -> None:
    assert noise_hu(organs(noise), SPACING) == pytest.approx(noise, rel=0.12)


def test_slices_that_repeat_one_another_are_no_quieter() -> None:
    image = organs(15.0)
    assert noise_hu(np.repeat(image, 3, axis=0), SPACING) == pytest.approx(15.0, rel=0.12)


def test_without_soft_tissue_there_is_no_noise_to_tell() -> None:
    assert noise_hu(np.full((8, 60, 60), -1000), SPACING) is None
    assert noise_hu(np.full((1, 2, 2), 60), SPACING) is None


def test_half_sample_mode_is_where_values_crowd() -> None:
    values = np.array([9.0, 1.0, 5.0, 5.1, 5.2, 5.13, 30.0, 2.0])
    assert half_sample_mode(values) == pytest.approx(5.115)
    assert half_sample_mode(np.array([3.0])) == 3.0

"""Smoothing in millimetres."""

import numpy as np
import pytest

from ctcore.detection.smoothing import smoothed


def test_the_width_is_the_same_in_mm_along_every_axis() -> None:
    point = np.zeros((21, 31, 41), dtype=np.float32)
    point[10, 15, 20] = 1
    spacing = (2.0, 1.0, 0.8)
    smooth = smoothed(point, 2.5, spacing).astype(np.float64)
    assert smooth.sum() == pytest.approx(1, abs=1e-3)
    for axis, step in enumerate(spacing):
        others = tuple(a for a in range(3) if a != axis)
        profile = smooth.sum(axis=others)
        mm = (np.arange(profile.size) - (profile.size - 1) / 2) * step
        assert np.sqrt((profile * mm**2).sum() / profile.sum()) == pytest.approx(2.5, rel=0.02)


def test_a_flat_probability_stays_as_it_is_up_to_the_border() -> None:
    for value in (0.0, 0.3, 1.0):
        flat = np.full((5, 6, 7), value, dtype=np.float32)
        smooth = smoothed(flat, 3.0, (1.0, 1.0, 1.0))
        assert smooth.dtype == np.float32
        assert smooth == pytest.approx(flat, abs=1e-6)
        assert smooth.max() <= 1

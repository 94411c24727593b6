"""Random fields have the statistics they promise."""

from itertools import pairwise

import numpy as np
import pytest

from ctcore.phantom.texture import cloud, grain, scanner_noise


@pytest.mark.parametrize("size", [5.0, 14.0])
def test_cloud_has_zero_mean_and_unit_variance(size: float) -> None:
    fields = np.stack([cloud(np.random.default_rng(seed), (40, 40, 40), 2.0, size) for seed in range(12)])
    assert abs(fields.mean()) < 0.15
    assert fields.std() == pytest.approx(1.0, abs=0.15)


def test_a_coarser_cloud_varies_more_slowly() -> None:
    steps = [np.abs(np.diff(cloud(np.random.default_rng(0), (30, 30, 30), 2.0, size))).mean() for size in (5.0, 20.0)]
    assert steps[1] < 0.5 * steps[0]


def test_grain_is_normalised() -> None:
    field = grain(np.random.default_rng(0), (30, 30, 30), 0.8)
    assert field.std() == pytest.approx(1.0, abs=1e-3)


def test_scanner_noise_has_no_slow_part_and_no_white_part() -> None:
    field = scanner_noise(np.random.default_rng(0), (12, 64, 64), 2.0, 0.12, 0.3)
    assert field.std() == pytest.approx(1.0, abs=0.05)
    power = np.mean(np.abs(np.fft.rfft2(field)) ** 2, axis=0)
    radius = np.hypot(np.fft.fftfreq(64, 2.0)[:, None], np.fft.rfftfreq(64, 2.0)[None, :])
    slow, middle, fast = (power[(radius > a) & (radius < b)].mean() for a, b in ((0, 0.02), (0.06, 0.1), (0.22, 0.25)))
    assert middle > 2.0 * slow
    assert middle > 5.0 * fast


def test_neighbouring_slices_share_noise() -> None:
    field = scanner_noise(np.random.default_rng(1), (30, 48, 48), 2.0, 0.4, 0.6)
    shared = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(field)])
    assert shared == pytest.approx(0.6, abs=0.05)

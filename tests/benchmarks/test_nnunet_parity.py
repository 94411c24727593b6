from pathlib import Path

import numpy as np
import pytest

from benchmarks.label_dice import foreground_dice
from benchmarks.nnunet_parity import measure_parity, obvious_blend
from benchmarks.panorama_networks import make_models


def test_windows_without_overlap_are_the_image() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 3, 4, 4, 4))
    windows = [((slice(None), slice(0, 4), slice(0, 4), slice(x, x + 4)), w) for x, w in ((0, left), (4, right))]
    np.testing.assert_allclose(obvious_blend(windows, (4, 4, 8)), np.concatenate([left, right], axis=3))


def test_a_padded_image_comes_back_in_its_own_size() -> None:
    window = np.arange(5 * 4 * 4, dtype=float).reshape(1, 5, 4, 4)
    place = (slice(None), slice(0, 5), slice(0, 4), slice(0, 4))
    np.testing.assert_allclose(obvious_blend([(place, window)], (2, 4, 4)), window[:, 1:3])


def test_this_project_is_nearer_to_nnunets_windows_than_nnunet_itself(plans: Path, tmp_path: Path) -> None:
    models = make_models(plans, tmp_path)
    rng = np.random.default_rng(1)
    images = [rng.normal(size=(1, *shape)).astype(np.float32) for shape in ((10, 20, 32), (6, 16, 40))]
    found = measure_parity(models.bundle / "stage2", images, "cpu")
    assert found["windows"] == 4
    assert found["max_softmax_difference"] < 1e-4 < found["percentile_softmax_error_of_nnunet"]
    assert found["percentile_softmax_difference_nnunet"] == pytest.approx(
        found["percentile_softmax_error_of_nnunet"], rel=0.05
    )


def test_dice_counts_voxels_of_the_same_label() -> None:
    first = np.array([0, 1, 1, 2, 2])
    second = np.array([0, 1, 2, 2, 0])
    assert foreground_dice(first, second) == pytest.approx(2 * 2 / (4 + 3))
    assert foreground_dice(first * 0, second * 0) == 1.0

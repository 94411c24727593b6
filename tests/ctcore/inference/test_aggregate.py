from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.inference.aggregate import (
    FOREGROUND_EPSILON,
    Aggregation,
    WindowVotes,
    aggregate_classes,
    foreground_share,
)

LOGITS = np.array([[2.0, 0.0], [-1.0, 3.0]], np.float32)


def test_foreground_share_by_hand() -> None:
    logits = np.zeros((3, 1, 1, 2), np.float32)
    logits[:, 0, 0, 1] = np.log([1.0, 2.0, 5.0])  # probabilities 1/8, 2/8, 5/8; 1/3 each in the other voxel
    assert foreground_share(logits, [2]) == pytest.approx((1 / 3 + 5 / 8) / 2, abs=1e-6)
    assert foreground_share(logits, [1, 2]) == pytest.approx((2 / 3 + 7 / 8) / 2, abs=1e-6)
    assert foreground_share(logits, [1, 1, 2]) == foreground_share(logits, [1, 2])


def test_foreground_share_survives_large_logits() -> None:
    logits = np.zeros((2, 2, 2, 2), np.float32)
    logits[1] = 500.0
    assert foreground_share(logits, [1]) == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [[], [3], [-1, 1]])
def test_foreground_labels_must_be_outputs(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="are not among the outputs 0 to 2"):
        foreground_share(np.zeros((3, 1, 1, 1), np.float32), labels)


def test_weighted_mean_by_hand() -> None:
    shares = np.array([0.3, 0.1]) - FOREGROUND_EPSILON
    answer = aggregate_classes(LOGITS, shares, "foreground-weighted mean")
    np.testing.assert_allclose(answer, [(2 * 0.3 - 1 * 0.1) / 0.4, 3 * 0.1 / 0.4], rtol=1e-6)


def test_weighted_mean_is_the_plain_mean_where_nothing_is_seen() -> None:
    answer = aggregate_classes(LOGITS, np.zeros(2), "foreground-weighted mean")
    np.testing.assert_allclose(answer, [0.5, 1.5], rtol=1e-6)


def test_mean_ignores_the_shares() -> None:
    np.testing.assert_allclose(aggregate_classes(LOGITS, np.array([1.0, 0.0]), "mean"), [0.5, 1.5])


def test_max_keeps_the_greatest_log_probability_of_each_class() -> None:
    logits = np.log(np.array([[0.7, 0.3], [0.2, 0.8]], np.float32))
    shifted = logits + np.array([[11.0], [-7.0]], np.float32)  # the same probabilities
    np.testing.assert_allclose(np.exp(aggregate_classes(shifted, np.zeros(2), "max")), [0.7, 0.8], rtol=1e-5)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown class aggregation 'median'"):
        aggregate_classes(LOGITS, np.zeros(2), "median")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["foreground-weighted mean", "mean", "max"])
def test_the_influence_of_windows_is_the_gradient(rule: Aggregation) -> None:
    rng = np.random.default_rng(0)
    logits, shares, toward = rng.normal(0, 2, (4, 3)), rng.uniform(0, 1, 4), np.array([1.0, -0.25, -0.75])

    def told(values: npt.NDArray[np.float64]) -> float:
        return float(aggregate_classes(values.astype(np.float32), shares, rule).astype(np.float64) @ toward)

    influence = WindowVotes(logits.astype(np.float32), shares, rule).influence(toward)
    for index in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[index] = 0.01
        assert influence[index] == pytest.approx((told(logits + step) - told(logits - step)) / 0.02, abs=1e-3)

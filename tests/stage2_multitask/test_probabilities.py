"""From logits to probabilities and labels on another grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctcore.geometry import Box
from ctcore.linear import linear_weights
from ctcore.resample import reach, resample_array
from stage2_multitask.probabilities import GridProbabilities, most_probable, softmax, to_grid


def both(answer: GridProbabilities) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    assert answer.labels is not None
    return answer.lesions, answer.labels


def test_softmax_by_hand() -> None:
    logits = np.array([[0.0, 1000.0], [math.log(3.0), 1000.0]])
    result = softmax(logits, axis=0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[0.25, 0.5], [0.75, 0.5]], rtol=1e-6)
    assert logits[0, 1] == 1000.0
    np.testing.assert_allclose(softmax(np.array([[-1e4, 0.0]]), axis=1), [[0.0, 1.0]])


@pytest.mark.parametrize("slab", [1, 150, 400, 10**9])
def test_slab_by_slab_equals_whole(slab: int) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (4, 5, 6, 7)).astype(np.float32)
    shape = (13, 11, 12)
    whole = resample_array(logits, shape)
    powers = np.exp(whole.astype(np.float64))
    (lesion, other), segmentation = both(to_grid(logits, shape, [2, 0], slab_voxels=slab))
    np.testing.assert_allclose(other, powers[0] / powers.sum(axis=0), rtol=1e-4, atol=1e-6)
    assert lesion.dtype == np.float32
    assert segmentation.dtype == np.uint8
    np.testing.assert_allclose(lesion, powers[2] / powers.sum(axis=0), rtol=1e-4, atol=1e-6)
    decided = np.diff(np.sort(whole, axis=0)[-2:], axis=0)[0] > 1e-4
    np.testing.assert_array_equal(segmentation[decided], whole.argmax(axis=0)[decided])
    assert decided.mean() > 0.99


def test_logits_are_resampled_before_the_softmax() -> None:
    logits = np.array([[0.0, 0.0], [0.0, math.log(9.0)]], dtype=np.float32)[:, None, None, :]
    (lesion,), _ = both(to_grid(logits, (1, 1, 4), [1]))
    # Between the voxels the logit is a quarter and three quarters of log 9; the mean of probabilities is another value.
    odds = np.array([1.0, 9**0.25, 9**0.75, 9.0])
    np.testing.assert_allclose(lesion[0, 0], odds / (1 + odds), rtol=1e-5)


@pytest.mark.parametrize("slab", [1, 10**9])
def test_logits_of_a_part_reach_the_grid_as_those_of_the_whole(slab: int) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (3, 6, 7, 8)).astype(np.float32)
    box, shape = Box((1, 2, 0), (5, 6, 5)), (11, 9, 12)
    (whole,), labels = both(to_grid(logits, shape, [1]))
    (part,), part_labels = both(
        to_grid(logits[(slice(None), *box.slices)], shape, [1], box=box, grid=(6, 7, 8), slab_voxels=slab)
    )
    known = reach(box, (6, 7, 8), shape)
    assert known is not None
    assert known.voxels > 50
    np.testing.assert_allclose(part[known.slices], whole[known.slices], atol=1e-5)
    np.testing.assert_array_equal(part_labels[known.slices], labels[known.slices])
    outside = np.ones(shape, dtype=bool)
    outside[known.slices] = False
    assert (part[outside] == 0).all()
    assert (part_labels[outside] == 0).all()


def test_a_part_too_small_for_any_voxel_is_background() -> None:
    box = Box((0, 0, 0), (1, 1, 1))
    (lesion,), labels = both(to_grid(np.full((2, 1, 1, 1), 5.0, np.float32), (2, 2, 2), [1], box=box, grid=(8, 8, 8)))
    assert not lesion.any()
    assert not labels.any()


def test_labels_are_left_out_where_they_are_not_wanted() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (4, 5, 6, 7)).astype(np.float32)
    with_labels, without = to_grid(logits, (7, 5, 9), [2]), to_grid(logits, (7, 5, 9), [2], labels=False)
    assert without.labels is None
    np.testing.assert_array_equal(without.lesions, with_labels.lesions)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_most_probable_is_argmax(k: int) -> None:
    logits: npt.NDArray[Any] = (
        np.random.default_rng(0).integers(-3, 3, (k, 5, 6, 7)).astype(np.float32)
    )  # many are equal
    made = most_probable(logits)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, logits.argmax(axis=0))


@pytest.mark.parametrize("shape", [(13, 11, 12), (5, 3, 20), (3, 4, 5), (5, 6, 7)])
def test_single_precision_costs_less_than_1e_5(shape: tuple[int, int, int]) -> None:
    logits = np.random.default_rng(1).normal(0, 10, (4, 5, 6, 7)).astype(np.float32)
    z, y, x = (linear_weights(n, m).astype(np.float64) for n, m in zip(logits.shape[1:], shape, strict=True))
    fine = np.einsum("kabc,za,yb,xc->kzyx", logits.astype(np.float64), z, y, x)
    powers = np.exp(fine - fine.max(axis=0))
    np.testing.assert_allclose(to_grid(logits, shape, [0, 1, 2, 3]).lesions, powers / powers.sum(axis=0), atol=1e-5)

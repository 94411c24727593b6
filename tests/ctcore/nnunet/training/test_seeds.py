"""Generators are functions of what they are for, and are put back."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcore.nnunet.training.seeds import Purpose, algorithms, seed_generators, seeded, state_of


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_the_same_key_the_same_numbers() -> None:
    seed_generators(Purpose.EPOCH, 3, 0, 7)
    first = draw()
    draw()
    seed_generators(Purpose.EPOCH, 3, 0, 7)
    assert draw() == first
    seed_generators(Purpose.EPOCH, 3, 0, 8)
    assert not set(draw()) & set(first)


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=3), st.lists(st.integers(0, 9), max_size=3))
def test_keys_do_not_collide(one: list[int], other: list[int]) -> None:
    assert 0 <= state_of(Purpose.EPOCH, *one) < 2**64
    assert state_of(Purpose.EPOCH, *one) != state_of(Purpose.TRAINING_BATCH, *one)
    if len(one) == len(other) and one != other:
        assert state_of(Purpose.EPOCH, *one) != state_of(Purpose.EPOCH, *other)


def test_a_seeded_block_leaves_no_trace() -> None:
    seed_generators(Purpose.WEIGHTS, 1)
    expected = draw()
    seed_generators(Purpose.WEIGHTS, 1)
    with seeded(Purpose.TRAINING_BATCH, 5):
        inside = draw()
    assert draw() == expected
    with contextlib.suppress(KeyError), seeded(Purpose.TRAINING_BATCH, 5):
        assert draw() == inside
        raise KeyError
    assert draw() != inside
    assert not set(inside) & set(expected)


def test_algorithms_are_put_back() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    with algorithms(deterministic=True):
        assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
        assert torch.are_deterministic_algorithms_enabled()
    with algorithms(deterministic=False):
        assert (cudnn.benchmark, cudnn.deterministic) == (True, False)
        assert not torch.are_deterministic_algorithms_enabled()
    assert (cudnn.benchmark, cudnn.deterministic) == before

"""Random generators whose state is a function of what they are for, so that a run can be repeated and continued.

Nothing about generators is kept in a checkpoint: every epoch and every batch begins with a state made of the recipe's
seed and its own number. nnU-Net's loaders and augmentation draw from numpy's and torch's global generators.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What random numbers are drawn for; no two purposes share a state."""

    WEIGHTS = 0
    EPOCH = 1
    TRAINING_BATCH = 2
    VALIDATION_BATCH = 3


def state_of(purpose: Purpose, *key: int) -> int:
    """Returns the 64-bit seed of a purpose and its numbers (the recipe's seed, a rank, an epoch, ...)."""
    words = [int(purpose), *(number % 2**64 for number in key)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def seed_generators(purpose: Purpose, *key: int) -> None:
    """Seeds the generators of Python, numpy and torch (GPUs included)."""
    state = state_of(purpose, *key)
    random.seed(state)
    np.random.seed(state % 2**32)  # noqa: NPY002 - nnU-Net's loaders draw from this generator
    torch.manual_seed(state)


@contextlib.contextmanager
def seeded(purpose: Purpose, *key: int) -> Iterator[None]:
    """Seeds the generators of Python, numpy and torch (CPU only) for a block, and puts them back as they were."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    state = state_of(purpose, *key)
    random.seed(state)
    np.random.seed(state % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(state)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@contextlib.contextmanager
def algorithms(*, deterministic: bool) -> Iterator[None]:
    """Chooses between the fastest algorithms and those that always give the same bits, for a block.

    On a CPU both are the same. On a GPU the fastest convolutions are found by trial, and some sums depend on the order
    in which threads arrive. Where torch has no deterministic form of an operation it warns, once.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the GPU is first used
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before[:2]
        torch.use_deterministic_algorithms(before[2], warn_only=True)

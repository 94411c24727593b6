"""Batches by number: the same with any number of workers, in order, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch
from nnunetv2.training.dataloading import data_loader as nnunet_loader

from ctcore.errors import TrainingError
from ctcore.nnunet.training.batches import Batches, NumberedBatches, find_thread_pools_once
from ctcore.nnunet.training.seeds import Purpose


class RandomLoader:
    """Stands for nnU-Net's loader: draws from the global generators; fails where numpy's draw is below a limit."""

    def __init__(self, fails_below: float = 0.0) -> None:
        self.fails_below = fails_below

    def __next__(self) -> dict[str, Any]:
        drawn = np.random.rand()  # noqa: NPY002
        if drawn < self.fails_below:
            raise FileNotFoundError("case_x.b2nd\nis missing")
        return {"data": torch.rand(2), "target": [torch.tensor(drawn)], "keys": np.array(["a", "b"])}


def make(loader: Any, first: int, stop: int, workers: int = 0, key: tuple[int, ...] = (0, 0)) -> Batches:
    source = NumberedBatches(loader, Purpose.TRAINING_BATCH, *key)
    return Batches(source, first, stop, workers=workers, pin_memory=False)


def numbers(batches: Batches, count: int) -> list[tuple[float, ...]]:
    drawn = [next(batches) for _ in range(count)]
    batches.close()
    return [(*batch["data"].tolist(), batch["target"][0].item()) for batch in drawn]


def test_workers_change_nothing() -> None:
    alone = numbers(make(RandomLoader(), 0, 7), 7)
    assert len({value for batch in alone for value in batch}) == 21
    for workers in (1, 2):
        assert numbers(make(RandomLoader(), 0, 7, workers), 7) == alone


def test_a_later_start_gives_the_later_batches() -> None:
    assert numbers(make(RandomLoader(), 4, 7), 3) == numbers(make(RandomLoader(), 0, 7), 7)[4:]


def test_other_seeds_and_ranks_have_other_batches() -> None:
    drawn = [numbers(make(RandomLoader(), 0, 1, key=key), 1)[0] for key in ((0, 0), (0, 1), (1, 0))]
    assert len(set(drawn)) == 3


def test_keys_stay_text() -> None:
    batches = make(RandomLoader(), 0, 1)
    assert [str(key) for key in next(batches)["keys"]] == ["a", "b"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_that_cannot_be_made(workers: int) -> None:
    batches = make(RandomLoader(fails_below=1.0), 3, 7, workers)
    with pytest.raises(TrainingError, match=r"^batch 3 cannot be made: FileNotFoundError: case_x\.b2nd; if a prepro"):
        next(batches)
    batches.close()


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Lets torch have two threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_thread_pools_are_found_once_and_held_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnunet_loader, "threadpool_limits", threadpoolctl.threadpool_limits)  # is put back
    find_thread_pools_once()
    monkeypatch.setattr(threadpoolctl.ThreadpoolController, "_load_libraries", None)  # would fail
    for _ in range(2):
        with nnunet_loader.threadpool_limits(limits=1, user_api=None):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2

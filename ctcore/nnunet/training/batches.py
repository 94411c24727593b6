"""nnU-Net's batches, in an order and with contents that do not depend on who makes them.

Batch n of a run is made under generators seeded with n, in this process or in torch's loader processes, which deliver
in order. The same batches therefore come with any number of workers, and after a resume.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

from nnunetv2.training.dataloading import data_loader as nnunet_loader
from threadpoolctl import ThreadpoolController
from torch.utils.data import DataLoader, Dataset

from ctcore.errors import TrainingError, first_line
from ctcore.nnunet.training.seeds import Purpose, seeded

CACHED_BATCHES = 6
"""Batches that the loader processes hold ready together; nnU-Net's number."""


def find_thread_pools_once() -> None:
    """Has nnU-Net's loader, which makes each batch on one thread, look now for the libraries with threads of their own.

    It looks for them at every batch, which takes longer than opening a small case.
    """
    nnunet_loader.threadpool_limits = ThreadpoolController().limit


@dataclass(frozen=True)
class Failure:
    """Why a batch could not be made; a loader process hands it over as a value, for torch would wrap an exception."""

    reason: str


class NumberedBatches(Dataset[Any]):
    """The batches of an nnU-Net data loader by number.

    Args:
        loader: nnU-Net's data loader: `next` draws a random batch.
        purpose: what the batches are for.
        key: further numbers that tell this run's batches from others (seed, rank).
    """

    def __init__(self, loader: Any, purpose: Purpose, *key: int) -> None:
        self.loader = loader
        self.purpose = purpose
        self.key = key

    def __getitem__(self, number: int) -> Any:
        """Returns a batch, or a `Failure`."""
        with seeded(self.purpose, *self.key, number):
            try:
                return next(self.loader)
            except Exception as error:  # whatever it is, the training must hear of it in one line
                return Failure(f"batch {number} cannot be made: {type(error).__name__}: {first_line(error)}")


class Batches:
    """An iterator over batches `first`, `first + 1`, ... up to `stop`.

    Args:
        source: the batches.
        first: number of the first batch.
        stop: number of batches of the whole run.
        workers: processes that make batches; 0 makes each when it is asked for.
        pin_memory: whether to hold them where a GPU can fetch them from.
    """

    def __init__(self, source: NumberedBatches, first: int, stop: int, *, workers: int, pin_memory: bool) -> None:
        loader = DataLoader(
            source,
            batch_size=None,
            sampler=range(first, stop),
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            prefetch_factor=max(2, math.ceil(CACHED_BATCHES / workers)) if workers else None,
        )
        self._iterator = iter(loader)

    def __next__(self) -> Any:
        """Returns the next batch.

        Raises:
            TrainingError: it could not be made.
        """
        batch = next(self._iterator)
        if isinstance(batch, Failure):
            raise TrainingError(f"{batch.reason}; if a preprocessed file is missing or damaged, run `plan` again")
        return batch

    def close(self) -> None:
        """Ends the loader processes."""
        self._iterator = iter(())  # type: ignore[assignment]  # torch ends them with the iterator


def _as_it_is(batch: Any) -> Any:
    return batch

"""Several folds of a training at once, each on a machine of a Ray cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ctcore.errors import RequestError, TrainingError
from ctcore.ray_cluster import (
    ActorLostError,
    AnswerNotWantedError,
    RayRequest,
    answer,
    connected,
    room,
)

LOSSES_OF_A_FOLD = 3
"""A fold whose process has ended so often has failed: it is likely why."""

FoldTraining = Callable[[str, bool], Path]
"""Trains a fold, or goes on with it where the second argument says so, and returns its folder; it can be sent away."""


def train_folds(train: FoldTraining, folds: Sequence[str], *, resume: bool, request: RayRequest) -> Iterator[str]:
    """Trains folds on a cluster, as many at once as it has room for.

    Every machine needs the same file system and versions. A fold whose process ends goes on elsewhere from its last
    checkpoint.

    Args:
        train: trains one.
        folds: which.
        resume: whether they go on from earlier checkpoints.
        request: the cluster and what each fold gets of it.

    Yields:
        Each fold when it is trained.

    Raises:
        RequestError: as `connected` and `room`, or a worker cannot train.
        TrainingError: the process of a fold has ended again and again.
        Exception: what a training has raised; the others are stopped.
    """
    with connected(request.address) as ray:
        room(ray, request)
        trainer = ray.remote(FoldTrainer).options(
            num_cpus=request.cpus, num_gpus=request.gpus, max_restarts=0, max_task_retries=0
        )
        yield from _Training(ray, trainer, train, Path.cwd()).run(folds, resume)


class FoldTrainer:
    """What trains a fold in a process of the cluster."""

    def train(self, train: FoldTraining, here: Path, fold: str, resume: bool) -> None:
        """Trains a fold; relative paths begin at `here`."""
        if not here.is_dir():
            raise RequestError(
                f"a worker does not see the folder that the command was called in, '{here}'; give a folder that all"
                " machines share"
            )
        with contextlib.chdir(here):
            train(fold, resume)


class _Training:
    """Folds under way: a thread waits for each, Ray for a place."""

    def __init__(self, ray: Any, trainer: Any, train: FoldTraining, here: Path) -> None:
        self._ray, self._trainer, self._train, self._here = ray, trainer, train, here
        self._ended: SimpleQueue[tuple[str, Exception | None]] = SimpleQueue()
        self._stopped = threading.Event()

    def run(self, folds: Sequence[str], resume: bool) -> Iterator[str]:
        threads = [threading.Thread(target=self._serve, args=(fold, resume), daemon=True) for fold in folds]
        try:
            for thread in threads:
                thread.start()
            for _ in folds:
                fold, error = self._ended.get()
                if error is not None:
                    raise error
                yield fold
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _serve(self, fold: str, resume: bool) -> None:
        try:
            self._until_trained(fold, resume)
            self._ended.put((fold, None))
        except Exception as error:  # told in the thread that waits for all
            self._ended.put((fold, error))

    def _until_trained(self, fold: str, resume: bool) -> None:
        losses = 0
        while True:
            actor = self._trainer.remote()
            try:
                self._answer(actor.train.remote(self._train, self._here, fold, resume or losses > 0))
                return
            except ActorLostError as error:
                losses += 1
                if losses == LOSSES_OF_A_FOLD:
                    raise TrainingError(
                        f"the process of fold {fold} has ended {LOSSES_OF_A_FOLD} times ({error}); give it more memory"
                    ) from error
            except AnswerNotWantedError:
                return
            finally:
                self._ray.kill(actor)

    def _answer(self, reference: Any) -> Any:
        return answer(self._ray, reference, wanted=lambda: not self._stopped.is_set())

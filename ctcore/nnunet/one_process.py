"""nnU-Net's pools as a thread of this process: starting one that imports PyTorch takes longer than a few cases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from types import ModuleType, SimpleNamespace
from typing import Any


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Lets nnU-Net's fingerprint and preprocessing have pools of threads where they ask for processes.

    Not thread-safe: it changes nnU-Net's modules for as long as it lasts.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor
    from nnunetv2.utilities import utils

    of_threads = SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=ThreadPool))
    with (
        replaced(fingerprint_extractor, "multiprocessing", of_threads),
        replaced(default_preprocessor, "multiprocessing", of_threads),
        replaced(utils, "Pool", ThreadPool),
    ):
        yield


@contextlib.contextmanager
def replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """Lets a module's name stand for something else."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)

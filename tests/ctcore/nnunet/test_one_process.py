"""nnU-Net's pools as threads of this process, and as they were afterwards."""

from __future__ import annotations

import os
from multiprocessing.pool import ThreadPool

import pytest
from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.preprocessing.preprocessors import default_preprocessor
from nnunetv2.utilities import utils

from ctcore.nnunet.one_process import in_this_process


def names() -> tuple[object, ...]:
    return fingerprint_extractor.multiprocessing, default_preprocessor.multiprocessing, utils.Pool


def test_pools_are_of_threads_inside_the_block() -> None:
    before = names()
    with in_this_process():
        for module in (fingerprint_extractor, default_preprocessor):
            with module.multiprocessing.get_context("spawn").Pool(2) as pool:
                assert set(pool.map(lambda _: os.getpid(), range(4))) == {os.getpid()}
        assert utils.Pool is ThreadPool
    assert names() == before


def test_a_fault_inside_leaves_nothing_changed() -> None:
    before = names()
    with pytest.raises(ZeroDivisionError), in_this_process():
        raise ZeroDivisionError
    assert names() == before

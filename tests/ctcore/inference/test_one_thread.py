"""One thread inside the block, as many as before outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from ctcore.inference.backends.choose import resolve
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.one_thread import one_thread


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_one_thread(backend: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            with one_thread(backend):  # type: ignore[arg-type]
                assert blas_threads() == {1}
                assert torch.get_num_threads() == 1 or backend != "torch"
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_deterministic_choice_says_so(backend: str) -> None:
    chosen = resolve("cpu", backend, "fp32", deterministic=True)
    assert (chosen.threads, chosen.deterministic) == (1, True)
    assert str(chosen) == f"cpu with {backend} in fp32, 1 thread, deterministic"
    assert chosen != resolve("cpu", backend, "fp32")


def test_openvino_computes_with_one_thread_where_it_is_told_to() -> None:
    module = torch.nn.Conv3d(1, 2, 3)
    torch.manual_seed(0)
    batch = np.random.default_rng(0).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    one = OpenVinoBackend(module, "fp32", one_thread=True)
    compiled = one(batch)
    _, request = one._requests[batch.shape]
    assert request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 1
    np.testing.assert_array_equal(compiled["segmentation"], one(batch)["segmentation"])

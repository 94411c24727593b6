from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from ctcore.inference.backends import on_gpu
from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision, flags_of
from ctcore.inference.backends.on_gpu import FLAG_OUT_OF_MEMORY, OnGpu
from ctcore.inference.backends.torch_backend import TorchBackend

Array = npt.NDArray[np.float32]
CUDA_ERROR = "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


class SmallGpu(nn.Module):
    """Doubles its input, as long as a batch is not too long and the memory is not full.

    Attributes:
        lengths: of all batches that were tried.
        holds: what was allocated by the latest failed call.
    """

    def __init__(self, fits: int, full: Iterable[Exception] = ()) -> None:
        super().__init__()
        self.fits, self.full = fits, list(full)
        self.lengths: list[int] = []
        self.holds: weakref.ref[torch.Tensor] | None = None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        held = image + 0
        self.lengths.append(len(image))
        if self.full:
            self.holds = weakref.ref(held)
            raise self.full.pop(0)
        if len(image) > self.fits:
            self.holds = weakref.ref(held)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return image * 2


class OnCpu:
    """What the CPU makes of the network."""

    name: ExactBackendName = "openvino"
    precision: ExactPrecision = "fp32"
    flags: tuple[str, ...] = ()

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.calls = 0

    def __call__(self, batch: Array) -> dict[str, Array]:
        self.calls += 1
        return {"segmentation": batch * 2}


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The CPU in the GPU's place; lists the times at which memory was given back."""
    given_back: list[int] = []

    def on_cpu(module: nn.Module, _: str, precision: ExactPrecision, *, deterministic: bool) -> TorchBackend:
        return TorchBackend(module, "cpu", precision, deterministic=deterministic)

    monkeypatch.setattr(on_gpu, "TorchBackend", on_cpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(1))
    return given_back


def batch(length: int) -> Array:
    return np.random.default_rng(length).standard_normal((length, 1, 2, 3, 4)).astype(np.float32)


def made(network: nn.Module, to_cpu: Callable[[nn.Module], OnCpu] = OnCpu) -> OnGpu:
    return OnGpu(network, "cuda:0", "fp32", to_cpu)


def test_with_enough_memory_the_gpu_computes(gpu: list[int]) -> None:
    network = SmallGpu(fits=8)
    backend = made(network)
    np.testing.assert_array_equal(backend(batch(8))["segmentation"], 2 * batch(8))
    assert (network.lengths, gpu) == ([8], [])
    assert (backend.name, backend.precision, backend.flags) == ("torch", "fp32", ())


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(CUDA_ERROR),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_what_pytorch_holds_may_suffice_once_given_back(gpu: list[int], error: Exception) -> None:
    network = SmallGpu(fits=8, full=[error])
    backend = made(network)
    np.testing.assert_array_equal(backend(batch(8))["segmentation"], 2 * batch(8))
    assert (network.lengths, gpu) == ([8, 8], [1])
    assert backend.flags == ()


def test_memory_is_given_back_when_the_failed_call_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SmallGpu(fits=8, full=[torch.cuda.OutOfMemoryError("CUDA out of memory.")])
    alive: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(network.holds() is not None))  # type: ignore[misc]
    made(network)(batch(1))
    assert alive == [False]


@pytest.mark.parametrize(("length", "fits"), [(8, 4), (8, 3), (8, 1), (7, 3), (5, 2)])
def test_halves_give_the_same_answer(length: int, fits: int) -> None:
    network = SmallGpu(fits=fits)
    backend = made(network)
    np.testing.assert_array_equal(backend(batch(length))["segmentation"], 2 * batch(length))
    network.lengths.clear()
    np.testing.assert_array_equal(backend(batch(length))["segmentation"], 2 * batch(length))
    assert max(network.lengths) <= fits  # learnt: nothing fails a second time
    assert sum(network.lengths) == length
    assert backend.flags == ()


def test_a_window_that_does_not_fit_takes_the_network_to_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    network = SmallGpu(fits=0)
    cpu: list[OnCpu] = []

    def to_cpu(module: nn.Module) -> OnCpu:
        cpu.append(OnCpu(module))
        return cpu[0]

    backend = made(network, to_cpu)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            np.testing.assert_array_equal(backend(batch(2))["segmentation"], 2 * batch(2))
    assert network.lengths == [2, 2, 1, 1]
    assert cpu[0].network is network
    assert (len(cpu), backend.name, backend.flags) == (1, "openvino", (FLAG_OUT_OF_MEMORY,))
    assert caplog.text.count("too little memory for one window: the network goes on on the CPU") == 1
    assert flags_of([backend, backend, OnCpu(network)]) == (FLAG_OUT_OF_MEMORY,)


def test_weights_that_do_not_fit_are_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(on_gpu, "TorchBackend", full)
    backend = made(nn.Identity())
    assert backend.flags == (FLAG_OUT_OF_MEMORY,)
    np.testing.assert_array_equal(backend(batch(2))["segmentation"], 2 * batch(2))


def test_the_network_on_the_gpu_is_let_go() -> None:
    network = SmallGpu(fits=0)
    backend = made(network, lambda _: OnCpu(nn.Identity()))
    on_the_gpu = weakref.ref(backend._on_gpu)
    backend(batch(1))
    gc.collect()
    assert on_the_gpu() is None


def test_other_faults_are_not_taken_for_it() -> None:
    network = SmallGpu(fits=8, full=[RuntimeError("CUDA error: device-side assert triggered")])
    with pytest.raises(RuntimeError, match="device-side assert"):
        made(network)(batch(1))
    assert network.lengths == [1]


def test_what_the_cpu_raises_is_the_end() -> None:
    class Full(OnCpu):
        def __call__(self, batch: Array) -> dict[str, Array]:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: out of memory")

    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        made(SmallGpu(fits=0), Full)(batch(1))

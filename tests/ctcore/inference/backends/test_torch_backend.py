from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from ctcore.inference.backends.backend import ExactPrecision
from ctcore.inference.backends.torch_backend import TorchBackend

BATCH = np.random.default_rng(2).standard_normal((1, 1, 8, 16, 16)).astype(np.float32)


def test_outputs_are_named_and_equal_the_networks(two_headed: Callable[[int], nn.Module]) -> None:
    network = two_headed(0)
    with torch.no_grad():
        expected = network(torch.from_numpy(BATCH))
    outputs = TorchBackend(network)(BATCH)
    assert list(outputs) == ["segmentation", "classes"]
    np.testing.assert_allclose(outputs["segmentation"], expected.segmentation.numpy(), atol=1e-5)
    np.testing.assert_allclose(outputs["classes"], expected.classes.numpy(), atol=1e-5)


def test_bf16_is_near_fp32_and_another_arithmetic(unet: Callable[[int], nn.Module]) -> None:
    network = unet(0)
    exact = softmax(TorchBackend(network)(BATCH)["segmentation"], axis=1)
    rough = TorchBackend(network, precision="bf16")(BATCH)["segmentation"]
    assert rough.dtype == np.float32
    difference = np.abs(softmax(rough, axis=1) - exact)
    assert 1e-6 < difference.max() < 0.1
    assert difference.mean() < 0.01


def test_the_batch_is_not_changed_by_writing_to_the_outputs() -> None:
    batch = BATCH.copy()
    outputs = TorchBackend(nn.Identity())(batch)
    outputs["segmentation"] += 1
    np.testing.assert_array_equal(batch, BATCH)


def test_a_network_stored_in_float16_computes_in_float32(unet: Callable[[int], nn.Module]) -> None:
    backend = TorchBackend(unet(0).half())
    assert backend(BATCH)["segmentation"].dtype == np.float32


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", True)])
def test_what_a_gpu_is_told_ends_with_the_call(
    unet: Callable[[int], nn.Module], monkeypatch: pytest.MonkeyPatch, precision: ExactPrecision, tf32: bool
) -> None:
    seen: list[tuple[bool, bool, torch.dtype]] = []
    waited: list[str] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = unet(0)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.network(image)
            seen.append((torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, output.dtype))
            return output

    def stream(device: str) -> SimpleNamespace:
        return SimpleNamespace(synchronize=lambda: waited.append(device))

    backend = TorchBackend(Watched(), precision=precision)
    expected = backend(BATCH)["segmentation"]
    before = (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(backend, "_cuda", True)  # what only a GPU would show otherwise
    monkeypatch.setattr(backend, "_format", torch.channels_last_3d)
    output = backend(BATCH)["segmentation"]
    assert seen[-1] == (True, tf32, torch.float32 if precision == "fp32" else torch.bfloat16)
    assert waited == ["cpu"]  # the copies were asynchronous
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == before
    assert output.flags.c_contiguous
    np.testing.assert_allclose(softmax(output, axis=1), softmax(expected, axis=1), atol=1e-5 if not tf32 else 0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 0.05), ("bf16", 0.1)])
def test_a_gpu_agrees_with_the_cpu(unet: Callable[[int], nn.Module], precision: str, tolerance: float) -> None:
    exact = softmax(TorchBackend(unet(0))(BATCH)["segmentation"], axis=1)
    outputs = TorchBackend(unet(0), "cuda:0", precision)(BATCH)  # type: ignore[arg-type]
    np.testing.assert_allclose(softmax(outputs["segmentation"], axis=1), exact, atol=tolerance)

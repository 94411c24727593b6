from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 0.05), ("bf16", 0.1)])
def test_a_gpu_agrees_with_the_cpu(unet: Callable[[int], nn.Module], precision: str, tolerance: float) -> None:
    exact = softmax(TorchBackend(unet(0))(BATCH)["segmentation"], axis=1)
    outputs = TorchBackend(unet(0), "cuda:0", precision)(BATCH)  # type: ignore[arg-type]
    np.testing.assert_allclose(softmax(outputs["segmentation"], axis=1), exact, atol=tolerance)

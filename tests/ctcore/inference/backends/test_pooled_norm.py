"""Instance normalisation by pooled means: PyTorch's values, and no digits lost in OpenVINO."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.pooled_norm import PooledInstanceNorm, pooled_mean, with_pooled_norms


@pytest.mark.parametrize("shape", [(2, 3, 6, 10, 14), (1, 2, 1, 1, 1), (1, 2, 7, 13, 8), (1, 4, 11, 34), (2, 1, 64, 1)])
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_instance_normalisation(shape: tuple[int, ...], affine: bool) -> None:
    torch.manual_seed(0)
    kind = nn.InstanceNorm3d if len(shape) == 5 else nn.InstanceNorm2d
    norm = kind(shape[1], affine=affine, eps=1e-3).eval()
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    features = torch.randn(shape, dtype=torch.float64) * 3 + 5
    mean = features.mean(dim=tuple(range(2, len(shape))), keepdim=True)
    variance = ((features - mean) ** 2).mean(dim=tuple(range(2, len(shape))), keepdim=True)
    expected = (features - mean) / torch.sqrt(variance + 1e-3)
    if affine:
        each = (1, -1) + (1,) * (len(shape) - 2)
        expected = expected * norm.weight.view(each) + norm.bias.view(each)
    torch.testing.assert_close(PooledInstanceNorm(norm.double())(features), expected)


def test_pooled_means_are_means() -> None:
    features = torch.rand(1, 2, 12, 35, 17, dtype=torch.float64)
    mean = pooled_mean(features, (12, 35, 17))
    torch.testing.assert_close(mean, features.mean(dim=(2, 3, 4), keepdim=True))


def test_every_layer_of_a_network_is_replaced_even_under_two_names() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.InstanceNorm3d(2, affine=True)
            self.layers = nn.Sequential(nn.Conv3d(1, 2, 3), self.norm)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.layers(image)
            return answer

    block = Block().eval()
    image = torch.randn(1, 1, 6, 7, 8)
    before = block(image)
    made = with_pooled_norms(copy.deepcopy(block))
    assert not any(isinstance(layer, nn.InstanceNorm3d) for layer in made.modules())
    torch.testing.assert_close(made(image), before)


def test_no_digits_are_lost_in_a_million_voxels() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True))
    image = np.random.default_rng(0).normal(0, 1, (1, 1, 32, 128, 256)).astype(np.float32)
    image += np.linspace(-3, 3, 256, dtype=np.float32)
    with torch.no_grad():
        expected = copy.deepcopy(network).double()(torch.from_numpy(image).double()).numpy()
    answer = OpenVinoBackend(network, "fp32")(image)["segmentation"]
    np.testing.assert_allclose(answer, expected, atol=2e-5)  # 1e-3 with OpenVINO's own

"""The FPN head against loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from stage2_multitask.heads.fpn import FPNHead, Pooling

Array = npt.NDArray[np.float64]


def convolve(image: Array, weight: Array, bias: Array) -> Array:
    """Slides a kernel of odd size over a zero-padded image (c, z, y, x)."""
    half = weight.shape[-1] // 2
    padded = np.pad(image, [(0, 0), *[(half, half)] * 3])
    answer = np.zeros((len(weight), *image.shape[1:]))
    for z, y, x in itertools.product(*map(range, image.shape[1:])):
        window = padded[:, z : z + 2 * half + 1, y : y + 2 * half + 1, x : x + 2 * half + 1]
        answer[:, z, y, x] = (weight * window).sum(axis=(1, 2, 3, 4)) + bias
    return answer


def enlarge(coarse: Array, shape: tuple[int, ...]) -> Array:
    fine = np.zeros((len(coarse), *shape))
    for index in np.ndindex(*shape):
        source = tuple(i * n // m for i, n, m in zip(index, coarse.shape[1:], shape, strict=True))
        fine[:, *index] = coarse[:, *source]
    return fine


def slow_head(head: FPNHead, features: list[Array]) -> Array:
    weights: dict[str, Array] = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}

    def convolution(name: str, image: Array) -> Array:
        return convolve(image, weights[f"{name}.weight"], weights[f"{name}.bias"])

    levels = [convolution(f"lateral.{i}", feature) for i, feature in enumerate(features)]
    for i in (1, 0):
        levels[i] = levels[i] + enlarge(levels[i + 1], levels[i].shape[1:])
    pooled = []
    for i, level in enumerate(levels):
        smooth = convolution(f"smooth.{i}.0", level)
        smooth = np.where(smooth > 0, smooth, 0.01 * smooth)
        pooled.append(smooth.mean(axis=(1, 2, 3)))
        if head.pooling == "average-max":
            pooled.append(smooth.max(axis=(1, 2, 3)))
    answer: Array = weights["classify.weight"] @ np.concatenate(pooled) + weights["classify.bias"]
    return answer


@pytest.mark.parametrize("pooling", ["average", "average-max"])
def test_against_loops(pooling: Pooling) -> None:
    torch.manual_seed(0)
    head = FPNHead([2, 3, 4], 2, width=3, pooling=pooling).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter))
    features = [torch.randn(1, 2, 4, 6, 5), torch.randn(1, 3, 2, 3, 3), torch.randn(1, 4, 1, 2, 2)]
    expected = slow_head(head, [feature[0].double().numpy() for feature in features])
    with torch.no_grad():
        answer = head(features)
    assert answer.shape == (1, 2)
    np.testing.assert_allclose(answer[0].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_finer_levels_are_not_looked_at() -> None:
    head = FPNHead([2, 2, 2], 2, width=3).eval()
    last: list[Any] = [torch.randn(2, 2, 4, 4, 4), torch.randn(2, 2, 2, 2, 2), torch.randn(2, 2, 2, 1, 1)]
    assert torch.equal(head([torch.randn(2, 9, 8, 8, 8), *last]), head(last))


@pytest.mark.parametrize("channels", [(4, 8), (4, 8, 8, 8), ()])
def test_another_number_of_levels(channels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not name the last 3 encoder levels"):
        FPNHead(channels, 2)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    head = FPNHead([2, 2, 2], 2, width=8, dropout=0.5)
    features = [torch.randn(1, 2, 4, 4, 4), torch.randn(1, 2, 2, 2, 2), torch.randn(1, 2, 2, 2, 2)]
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))

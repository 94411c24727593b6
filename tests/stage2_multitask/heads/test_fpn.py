"""The FPN head against loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import softmax

from stage2_multitask.heads.fpn import FPNHead, Pooling, Smoothing

Array = npt.NDArray[np.float64]


def convolve(image: Array, weight: Array, bias: Array) -> Array:
    """Slides a kernel of odd size over a zero-padded image (c, [z,] y, x)."""
    size = weight.shape[-1]
    padded = np.pad(image, [(0, 0), *[(size // 2, size // 2)] * (image.ndim - 1)])
    answer = np.zeros((len(weight), *image.shape[1:]))
    for index in np.ndindex(*image.shape[1:]):
        window = padded[:, *(slice(i, i + size) for i in index)]
        answer[:, *index] = (weight * window).reshape(len(weight), -1).sum(axis=1) + bias
    return answer


def enlarge(coarse: Array, shape: tuple[int, ...]) -> Array:
    fine = np.zeros((len(coarse), *shape))
    for index in np.ndindex(*shape):
        source = tuple(i * n // m for i, n, m in zip(index, coarse.shape[1:], shape, strict=True))
        fine[:, *index] = coarse[:, *source]
    return fine


def block_means(region: Array, scale: int) -> Array:
    means = np.zeros([-(-n // scale) for n in region.shape])
    for index in np.ndindex(*means.shape):
        means[index] = region[tuple(slice(i * scale, (i + 1) * scale) for i in index)].mean()
    return means


def slow_head(head: FPNHead, features: list[Array], regions: Sequence[Array] = (), scales: Sequence[int] = ()) -> Array:
    """Classifies one case; regions are probabilities ([z,] y, x), scales the strides of the levels against them."""
    weights: dict[str, Array] = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}

    def convolution(name: str, image: Array) -> Array:
        return convolve(image, weights[f"{name}.weight"], weights[f"{name}.bias"])

    levels = [convolution(f"lateral.{i}", feature) for i, feature in enumerate(features)]
    for i in (1, 0):
        levels[i] = levels[i] + enlarge(levels[i + 1], levels[i].shape[1:])
    pooled = []
    for i, level in enumerate(levels):
        smooth = convolution(f"smooth.{i}.0", level) if f"smooth.{i}.0.weight" in weights else level
        smooth = np.where(smooth > 0, smooth, 0.01 * smooth)
        space = tuple(range(1, smooth.ndim))
        pooled.append(smooth.mean(axis=space))
        if head.pooling == "average-max":
            pooled.append(smooth.max(axis=space))
        for region in regions:
            weight = block_means(region, scales[i])
            pooled.append((smooth * weight).sum(axis=space) / weight.sum())
    if head.evidence:
        for region in regions:
            peak = block_means(region, scales[0]).max()
            pooled.append(np.array([np.clip(np.log(peak / (1 - peak)), -7, 7), np.log(region.mean())]))
    answer: Array = weights["classify.weight"] @ np.concatenate(pooled) + weights["classify.bias"]
    return answer


def randomize(head: FPNHead) -> FPNHead:
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return head.eval()


def random_features(dims: int) -> list[torch.Tensor]:
    """Three levels of (4, 6, 5), (2, 3, 3) and (1, 2, 2) voxels; in two dimensions without the first axis."""
    sizes = ((2, 4, 6, 5), (3, 2, 3, 3), (4, 1, 2, 2))
    return [torch.randn(1, channels, *size[-dims:]) for channels, *size in sizes]


@pytest.mark.parametrize("smoothing", ["all", "coarse"])
@pytest.mark.parametrize("pooling", ["average", "average-max"])
@pytest.mark.parametrize("dims", [2, 3])
def test_against_loops(pooling: Pooling, dims: int, smoothing: Smoothing) -> None:
    torch.manual_seed(0)
    head = randomize(FPNHead([2, 3, 4], 2, dims=dims, width=3, pooling=pooling, smoothing=smoothing))
    features = random_features(dims)
    expected = slow_head(head, [feature[0].double().numpy() for feature in features])
    with torch.no_grad():
        answer = head(features)
    assert answer.shape == (1, 2)
    np.testing.assert_allclose(answer[0].numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["average", "average-max"])
@pytest.mark.parametrize("evidence", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_attention_against_loops(pooling: Pooling, evidence: bool, dims: int) -> None:
    torch.manual_seed(1)
    scales = (2, 4, 8)
    attention: Any = {"attention": [(2,), (1, 2)], "scales": [(s,) * dims for s in scales], "evidence": evidence}
    head = randomize(FPNHead([2, 3, 4], 2, dims=dims, width=3, pooling=pooling, **attention))
    features = random_features(dims)
    logits = 3 * torch.randn(1, 3, *(8, 12, 10)[-dims:])
    probabilities: Array = softmax(logits[0].double().numpy(), axis=0)
    regions = [probabilities[2], probabilities[1] + probabilities[2]]
    expected = slow_head(head, [feature[0].double().numpy() for feature in features], regions, scales)
    with torch.no_grad():
        np.testing.assert_allclose(head(features, logits)[0].numpy(), expected, rtol=1e-3, atol=1e-3)


def test_the_finest_level_alone_may_be_left_as_it_is() -> None:
    named = set(FPNHead([2, 3, 4], 2, smoothing="coarse").state_dict())
    assert set(FPNHead([2, 3, 4], 2).state_dict()) - named == {"smooth.0.0.weight", "smooth.0.0.bias"}


def test_parameters_of_attention_leave_the_others_names_alone() -> None:
    plain, attentive = FPNHead([2, 3, 4], 2), FPNHead([2, 3, 4], 2, attention=[(1,)], scales=[(1, 1, 1)] * 3)
    assert list(plain.state_dict()) == list(attentive.state_dict())


def test_names_of_the_parameters_in_bundles() -> None:
    layers = [*(f"lateral.{i}" for i in range(3)), *(f"smooth.{i}.0" for i in range(3)), "classify"]
    assert list(FPNHead([2, 3, 4], 2).state_dict()) == [f"{la}.{w}" for la in layers for w in ("weight", "bias")]


def test_attention_without_scales() -> None:
    with pytest.raises(ValueError, match=r"scales \(\) do not name the last 3 encoder levels"):
        FPNHead([2, 3, 4], 2, attention=[(1,)])


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

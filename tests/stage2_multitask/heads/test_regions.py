"""Soft regions and weighted means, by hand and against loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from stage2_multitask.heads.region_labels import Regions
from stage2_multitask.heads.regions import evidence_of, maxima, soft_region, to_scale, weighted_mean, weighted_means


def test_soft_region() -> None:
    logits = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = softmax(logits.double().numpy(), axis=1)[:, [1, 3]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft_region(logits, (1, 3)).numpy(), expected, rtol=1e-5)


def test_soft_region_is_float32_without_gradient() -> None:
    region = soft_region(torch.randn(1, 2, 3, 3, dtype=torch.bfloat16, requires_grad=True), (1,))
    assert region.dtype == torch.float32
    assert not region.requires_grad


@pytest.mark.parametrize(("shape", "scale"), [((4, 6), (2, 3)), ((5, 7), (2, 4)), ((4, 5, 6), (1, 2, 4))])
def test_to_scale_against_loops(shape: tuple[int, ...], scale: tuple[int, ...]) -> None:
    region = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    answer = to_scale(region, scale)
    assert answer.shape[2:] == tuple(-(-n // s) for n, s in zip(shape, scale, strict=True))
    for index in itertools.product(*map(range, answer.shape[2:])):
        block = tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, scale, strict=True))
        assert answer[0, 0][index].item() == pytest.approx(region[0, 0][block].mean().item(), rel=1e-5)


def test_to_scale_one_is_the_region_itself() -> None:
    region = torch.rand(1, 1, 2, 2)
    assert to_scale(region, (1, 1)) is region


def test_weighted_mean_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    weights = torch.tensor([[[[0.0, 1.0], [0.0, 0.5]]]])
    expected = [(2 * 1 + 5 * 0.5) / 1.5, (8 * 0.5) / 1.5]
    torch.testing.assert_close(weighted_mean(features, weights), torch.tensor([expected]), rtol=1e-4, atol=1e-4)


def test_a_region_that_is_nowhere_gives_the_plain_mean() -> None:
    features = torch.randn(2, 3, 4, 4, 4)
    torch.testing.assert_close(weighted_mean(features, torch.zeros(2, 1, 4, 4, 4)), features.mean(dim=(2, 3, 4)))


@given(st.integers(0, 10_000), st.floats(1e-3, 1), st.sampled_from([(5,), (2, 3), (2, 2, 3)]))
def test_weighted_mean_lies_among_the_values(seed: int, scale: float, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 2, *shape, generator=generator)
    weights = torch.rand(1, 1, *shape, generator=generator) * scale
    mean = weighted_mean(features, weights)
    flat = features.flatten(2)
    assert (mean >= flat.amin(2) - 1e-5).all()
    assert (mean <= flat.amax(2) + 1e-5).all()
    torch.testing.assert_close(weighted_mean(features, torch.full_like(weights, scale)), flat.mean(2))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weighted_means_of_short_floats(kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    features = (100 + torch.randn(2, 3, 16, 16, 16, generator=generator)).to(kind)
    weights = torch.rand(2, 2, 16, 16, 16, generator=generator)
    means = weighted_means(features, weights)
    assert means.dtype == kind
    for region in range(2):
        share = weights[:, region : region + 1].double()
        expected = (features.double() * share).sum((2, 3, 4)) / share.sum((2, 3, 4))
        torch.testing.assert_close(means[:, region].double(), expected, rtol=2**-7, atol=0)  # rounded twice


def test_maxima_and_where_their_gradient_goes() -> None:
    features = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = features.flatten(2).amax(2)
    assert torch.equal(maxima(features), expected)
    features.requires_grad_()
    found = maxima(features)
    assert torch.equal(found, expected)
    found.sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad, (features == expected[:, :, None, None, None]).float())


def test_labels_of_the_regions() -> None:
    regions = Regions(lesion=(2, 3), foreground=(1, 2, 3))
    assert regions.named("lesion") == [(2, 3)]
    assert regions.named("each lesion") == [(2,), (3,)]
    assert regions.named("foreground") == [(1, 2, 3)]
    assert regions.foreground_labels() == (1, 2, 3)
    with pytest.raises(ValueError, match="no segmentation label is lesion"):
        Regions(foreground=(1,)).named("each lesion")


def test_evidence_by_hand() -> None:
    region = torch.zeros(3, 1, 2, 4)
    region[0, 0, 0, :2] = torch.tensor([0.5, 0.25])
    region[2] = 1.0
    found = evidence_of(region, to_scale(region, (1, 2)))
    expected = [[np.log(0.375 / 0.625), np.log(0.75 / 8)], [-7.0, np.log(1e-6)], [7.0, 0.0]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)

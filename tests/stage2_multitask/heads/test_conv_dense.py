"""The convolutional-dense head: order of its layers, fixed size, normalised logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stage2_multitask.heads.conv_dense import ConvDenseHead


def make(normalize_logits: bool = True) -> ConvDenseHead:
    torch.manual_seed(0)
    return ConvDenseHead(
        2,
        3,
        bottleneck_size=(4, 5),
        convolution_channels=(4, 3),
        widths=(6, 5, 5, 4),
        normalize_logits=normalize_logits,
    )


def test_layers_as_reported() -> None:
    kinds = [type(layer) for layer in (*make().convolutions, *make().classify)]
    convolution = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    dense = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert kinds == [*convolution * 2, *dense * 4, nn.Linear, nn.BatchNorm1d]
    assert [layer.p for layer in make().classify if isinstance(layer, nn.Dropout)] == [0.3, 0.3, 0.3, 0.2]


def test_flattened_size_by_hand() -> None:
    first = next(layer for layer in make().classify if isinstance(layer, nn.Linear))
    assert first.in_features == 3 * 2 * 3  # 4 x 5 becomes 2 x 3


def test_normalised_logits_have_mean_0_and_variance_1_over_the_batch() -> None:
    logits = make().train()([torch.randn(16, 2, 4, 5)])
    torch.testing.assert_close(logits.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(logits.var(0, correction=0), torch.ones(3), rtol=0, atol=1e-2)


def test_logits_need_not_be_normalised() -> None:
    head = make(normalize_logits=False).train()
    assert isinstance(head.classify[-1], nn.Linear)
    assert head([torch.randn(16, 2, 4, 5)]).mean(0).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (4, 5, 5)])
def test_another_size_is_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"does not fit the head's \(4, 5\); use its patch_size"):
        make().eval()([torch.randn(2, 2, *size)])

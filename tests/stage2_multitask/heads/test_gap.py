"""Global average pooling, by hand."""

from __future__ import annotations

import torch

from stage2_multitask.heads.gap import GAPHead


def identity(head: GAPHead) -> GAPHead:
    with torch.no_grad():
        head.classify.weight.copy_(torch.eye(2))
        head.classify.bias.copy_(torch.tensor([0.0, 1.0]))
    return head


def test_average_of_the_bottleneck() -> None:
    bottleneck = torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]])
    answer = identity(GAPHead(2, 2))([torch.randn(1, 5, 2, 4), bottleneck])
    assert answer.tolist() == [[2.0, 5.0]]


def test_average_inside_the_foreground() -> None:
    bottleneck = torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]])
    logits = torch.zeros(1, 3, 2, 4)
    logits[:, 0] = 50.0
    logits[:, 2, :, 2:] = 100.0  # the right half, which is the second column of the bottleneck
    answer = identity(GAPHead(2, 2, foreground=(1, 2), scale=(2, 2)))([bottleneck], logits)
    torch.testing.assert_close(answer, torch.tensor([[3.0, 7.0]]), rtol=1e-4, atol=1e-4)

"""The second decoder: how its voxels become a case's logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stage2_multitask.heads.decoder import DecoderHead
from tests.stage2_multitask.heads.tiny import tiny_features, tiny_levels


def voxel_logits(head: DecoderHead, features: list[torch.Tensor]) -> torch.Tensor:
    answer: torch.Tensor = head.get_submodule("decoder")(features)
    return answer


@pytest.mark.parametrize("dims", [2, 3])
def test_mean_over_the_voxels(dims: int) -> None:
    head, features = DecoderHead(tiny_levels(dims), 3).eval(), tiny_features(dims)
    voxels = voxel_logits(head, features)
    assert voxels.shape == (3, 3, *(16,) * dims)
    torch.testing.assert_close(head(features), voxels.flatten(2).mean(2))


def test_mean_inside_the_foreground() -> None:
    head, features = DecoderHead(tiny_levels(3), 3, foreground=(1, 2)).eval(), tiny_features(3)
    segmentation = torch.zeros(3, 3, 16, 16, 16)
    segmentation[:, 0] = 50.0
    segmentation[:, 1, 3, 4, 5] = segmentation[:, 2, 6, 7, 8] = 100.0
    voxels = voxel_logits(head, features)
    expected = (voxels[:, :, 3, 4, 5] + voxels[:, :, 6, 7, 8]) / 2
    torch.testing.assert_close(head(features, segmentation), expected, rtol=5e-3, atol=5e-3)


def test_the_body_is_not_part_of_the_head() -> None:
    head = DecoderHead(tiny_levels(2), 3)
    assert not [name for name in head.state_dict() if "encoder" in name]
    assert sum(isinstance(module, nn.Conv2d) and module.out_channels == 3 for module in head.modules()) == 1

"""Instance normalisation with the channels innermost: torch's results, without the reordering."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ctcore.nnunet.training.instance_norm import InstanceNorm2d, InstanceNorm3d, keep_channels_innermost

SHAPES = {2: (3, 4, 5, 6), 3: (2, 4, 3, 5, 6)}
INNERMOST = {2: torch.channels_last, 3: torch.channels_last_3d}
TORCHS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def network(dims: int, affine: bool = True) -> nn.Sequential:
    made = nn.Sequential(nn.Sequential(TORCHS[dims](4, eps=1e-3, affine=affine)))
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def gradients_of(module: nn.Module, images: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    images = images.clone().requires_grad_()
    module.zero_grad()
    (module(images) * weights).sum().backward()
    assert images.grad is not None
    return [images.grad, *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("innermost", [True, False])
def test_results_and_gradients_are_torchs(dims: int, affine: bool, innermost: bool) -> None:
    torch.manual_seed(0)
    images, weights = torch.randn(2, *SHAPES[dims]) * 3 + 1
    module = network(dims, affine)
    expected = module(images), gradients_of(module, images, weights)
    if innermost:
        images = images.to(memory_format=INNERMOST[dims])

    keep_channels_innermost(module)

    torch.testing.assert_close(module(images), expected[0])
    torch.testing.assert_close(gradients_of(module, images, weights), expected[1])


@pytest.mark.parametrize("dims", [2, 3])
def test_the_order_of_axes_stays(dims: int) -> None:
    module = network(dims)
    keep_channels_innermost(module)
    images = torch.randn(SHAPES[dims]).to(memory_format=INNERMOST[dims])
    assert module(images).is_contiguous(memory_format=INNERMOST[dims])
    gradient = gradients_of(module, images, torch.ones(SHAPES[dims]))[0]
    assert gradient.is_contiguous(memory_format=INNERMOST[dims])


def test_bfloat16_within_its_precision() -> None:
    torch.manual_seed(0)
    images, weights = torch.randn(2, *SHAPES[3]).bfloat16().contiguous()
    module = network(3)
    expected = module(images), gradients_of(module, images, weights)
    keep_channels_innermost(module)
    images = images.to(memory_format=torch.channels_last_3d)
    assert module(images).dtype == torch.bfloat16
    torch.testing.assert_close(module(images), expected[0], atol=0.03, rtol=0.02)
    torch.testing.assert_close(gradients_of(module, images, weights), expected[1], atol=0.03, rtol=0.02)


def test_weights_keep_their_names_and_mode() -> None:
    module = network(3).eval()
    before = module.state_dict()
    keep_channels_innermost(module)
    normalisation = module.get_submodule("0.0")
    assert isinstance(normalisation, InstanceNorm3d)
    assert not normalisation.training
    assert list(module.state_dict()) == list(before)
    for name, value in module.state_dict().items():
        assert value.data_ptr() == before[name].data_ptr()


def test_running_statistics_are_left_to_torch() -> None:
    module = nn.Sequential(nn.InstanceNorm2d(4, track_running_stats=True))
    keep_channels_innermost(module)
    assert isinstance(module[0], InstanceNorm2d)
    images = torch.randn(SHAPES[2]).to(memory_format=torch.channels_last) + 5
    module(images)
    assert module.state_dict()["0.running_mean"].abs().min() > 0
    torch.testing.assert_close(module.eval()(images)[0].mean(), torch.tensor(5.0), atol=2.0, rtol=0)

"""What every head promises, in two and in three dimensions."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.nnunet.exported import load_weights, unique_state
from stage2_multitask.heads.head import ClassificationHead
from tests.stage2_multitask.heads.tiny import (
    CLASSES,
    HEADS,
    TinyNetwork,
    tiny_features,
    tiny_head,
    tiny_levels,
    tiny_segmentation,
)

every_head = pytest.mark.parametrize("name", HEADS)
every_dims = pytest.mark.parametrize("dims", [2, 3])

STOPPED = "masked-gem, stop-gradient"


def settle(head: ClassificationHead, dims: int) -> ClassificationHead:
    """Gives batch normalisation statistics other than its first ones, then ends training."""
    head.train()
    with torch.no_grad():
        for seed in range(3):
            head(tiny_features(dims, seed=seed), tiny_segmentation(dims))
    return head.eval()


@every_head
@every_dims
def test_shape(name: str, dims: int) -> None:
    logits = tiny_head(name, dims)(tiny_features(dims), tiny_segmentation(dims))
    assert logits.shape == (3, CLASSES)
    assert logits.dtype == torch.float32


@every_head
@every_dims
def test_every_parameter_gets_a_finite_gradient(name: str, dims: int) -> None:
    head = tiny_head(name, dims).train()
    logits = head(tiny_features(dims), tiny_segmentation(dims))
    functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert list(head.parameters())
    for parameter_name, parameter in head.named_parameters():
        assert parameter.requires_grad, parameter_name
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert sum(float(p.grad.abs().sum()) for p in head.parameters() if p.grad is not None) > 0


@every_head
@every_dims
def test_gradient_goes_to_the_encoder_and_not_to_the_segmentation(name: str, dims: int) -> None:
    head = tiny_head(name, dims).train(name == STOPPED)  # evaluated, it explains itself like any other
    features = [feature.requires_grad_() for feature in tiny_features(dims)]
    segmentation = tiny_segmentation(dims).requires_grad_()
    head(features, segmentation).square().sum().backward()
    assert segmentation.grad is None
    gradient = features[-1].grad
    if name == STOPPED:
        assert gradient is None
    else:
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0


@every_head
@every_dims
def test_only_heads_that_say_so_look_at_the_segmentation(name: str, dims: int) -> None:
    head, features = tiny_head(name, dims).eval(), tiny_features(dims)
    if head.uses_segmentation:
        with pytest.raises(ValueError, match="run the decoder first"):
            head(features)
        one, two = (head(features, tiny_segmentation(dims, seed=seed)) for seed in (2, 3))
        assert not torch.equal(one, two)
    else:
        assert torch.equal(head(features), head(features, torch.full((3, 3, *(16,) * dims), torch.nan)))


@every_head
@every_dims
def test_evaluation_is_deterministic_and_case_by_case(name: str, dims: int) -> None:
    head = settle(tiny_head(name, dims), dims)
    features, segmentation = tiny_features(dims), tiny_segmentation(dims)
    together = head(features, segmentation)
    assert torch.equal(together, head(features, segmentation))
    for case in range(3):
        one = slice(case, case + 1)
        alone = head([feature[one] for feature in features], segmentation[one])
        torch.testing.assert_close(alone, together[one])


@every_head
def test_training_on_a_batch_of_one(name: str) -> None:
    head = tiny_head(name, 3).train()
    features, segmentation = tiny_features(3, batch=1), tiny_segmentation(3, batch=1)
    if name.startswith("conv-dense"):
        with pytest.raises(ValueError, match=r"cannot train on a batch of 1; use a batch_size of 2"):
            head(features, segmentation)
    else:
        assert torch.isfinite(head(features, segmentation)).all()


@every_head
@every_dims
def test_save_load_predict(name: str, dims: int, tmp_path: Path) -> None:
    head = settle(tiny_head(name, dims), dims)
    halves = {key: tensor.half() for key, tensor in unique_state(head).items()}  # as bundles store them
    for key, tensor in unique_state(head).items():
        tensor.copy_(halves[key])
    importlib.import_module("safetensors.torch").save_file(halves, tmp_path / "fold_0.safetensors")
    again = tiny_head(name, dims, seed=9)
    load_weights(again, tmp_path, "0")
    features, segmentation = tiny_features(dims), tiny_segmentation(dims)
    assert torch.equal(head(features, segmentation), again(features, segmentation))


@every_head
@every_dims
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(name: str, dims: int, dtype: torch.dtype) -> None:
    head = settle(tiny_head(name, dims), dims)
    features, segmentation = tiny_features(dims), tiny_segmentation(dims)
    exact = head(features, segmentation)
    with torch.autocast("cpu", dtype=dtype):
        rounded = head([feature.to(dtype) for feature in features], segmentation.to(dtype))
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
    rounded.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


@every_head
@every_dims
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_openvino_gives_the_same(name: str, dims: int) -> None:
    torch.manual_seed(5)
    network = TinyNetwork(name, dims).train()
    with torch.no_grad():
        for _ in range(20):  # batch normalisation learns its statistics
            network(torch.randn(3, 1, *(16,) * dims))
    image = np.random.default_rng(3).standard_normal((2, 1, *(16,) * dims)).astype(np.float32)
    expected = TorchBackend(network.eval())(image)["classes"]
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(OpenVinoBackend(network)(image)["classes"], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "level"),
    [(name, level) for name in HEADS for level in range(3) if level == 2 or HEADS[name].kind in {"fpn", "decoder"}],
)
def test_levels_come_in_the_order_of_the_encoder(name: str, level: int) -> None:
    """Features of another number of channels than their level's do not pass unseen."""
    head, features = tiny_head(name, 2).eval(), tiny_features(2)
    features[level] = torch.zeros(3, tiny_levels(2).channels[level] + 1, *features[level].shape[2:])
    with pytest.raises(RuntimeError):
        head(features, tiny_segmentation(2))

"""The contract of the multi-task network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.inference.backends.backend import named_outputs
from ctcore.labels import PANORAMA_NAMES
from ctcore.nnunet.exported import load_weights, unique_state
from stage2_multitask.case_validation import Finest
from stage2_multitask.heads.region_labels import regions_of
from stage2_multitask.heads.settings import FPNSettings, HeadSettings
from stage2_multitask.network import DescribedUNet, MultiTaskNetwork, build_network

HEAD = FPNSettings(width=4, pooling="average-max")
PATCH = (16, 16, 16)
LABELS, CLASSES = 7, 2


def make(
    architecture: dict[str, Any], *, deep_supervision: bool = False, seed: int = 0, head: HeadSettings = HEAD
) -> MultiTaskNetwork:
    torch.manual_seed(seed)
    return build_network(
        architecture, PATCH, PANORAMA_NAMES, ["lesion"], CLASSES, head, deep_supervision=deep_supervision
    )


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))


def test_shapes(architecture: dict[str, Any], image: torch.Tensor) -> None:
    output = make(architecture)(image)
    assert output.segmentation.shape == (2, LABELS, 16, 16, 16)
    assert output.classes.shape == (2, CLASSES)
    assert list(named_outputs(output)) == ["segmentation", "classes"]


def test_shapes_under_deep_supervision(architecture: dict[str, Any], image: torch.Tensor) -> None:
    output = make(architecture, deep_supervision=True)(image)
    shapes = [tuple(level.shape) for level in output.segmentation]
    assert shapes == [(2, LABELS, 16, 16, 16), (2, LABELS, 8, 8, 8)]
    assert output.classes.shape == (2, CLASSES)


@pytest.mark.parametrize("head", [HEAD, FPNSettings(width=4, attention=["lesion", "foreground"], evidence=True)])
def test_behind_a_strided_stem(architecture: dict[str, Any], head: HeadSettings) -> None:
    """The segmentation has the image's size; the head answers the same whether it was interpolated or not."""
    arguments = architecture["arch_kwargs"]
    coarse = architecture | {"arch_kwargs": arguments | {"strides": [[2, 2, 2], *arguments["strides"][1:]]}}
    image = torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    plain = build_network(coarse, (32, 32, 32), PANORAMA_NAMES, ["lesion"], CLASSES, head).eval()
    deep = build_network(coarse, (32, 32, 32), PANORAMA_NAMES, ["lesion"], CLASSES, head, deep_supervision=True).eval()
    deep.load_state_dict(plain.state_dict(), strict=False)
    whole, levels = plain(image), deep(image)
    assert whole.segmentation.shape == (2, LABELS, 32, 32, 32)
    assert levels.segmentation[0].shape == (2, LABELS, 16, 16, 16)
    torch.testing.assert_close(whole.classes, levels.classes)
    torch.testing.assert_close(Finest(deep)(image).segmentation, whole.segmentation)
    alone = DescribedUNet(plain)
    torch.testing.assert_close(alone(image).segmentation, whole.segmentation)


def test_deep_supervision_does_not_change_the_answer(architecture: dict[str, Any], image: torch.Tensor) -> None:
    plain, deep = make(architecture).eval(), make(architecture, deep_supervision=True).eval()
    deep.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(plain(image).segmentation, deep(image).segmentation[0])
    torch.testing.assert_close(plain(image).classes, deep(image).classes)


def test_every_parameter_gets_a_finite_gradient(architecture: dict[str, Any], image: torch.Tensor) -> None:
    network = make(architecture, deep_supervision=True).train()
    output = network(image)
    loss = sum(level.square().mean() for level in output.segmentation) + output.classes.square().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_the_encoder_runs_once(architecture: dict[str, Any], image: torch.Tensor, deep_supervision: bool) -> None:
    network = make(architecture, deep_supervision=deep_supervision)
    calls: list[int] = []
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    stem = network.encoder.get_submodule("stages.0")
    stem.register_forward_hook(lambda *_: calls.append(2))
    network(image)
    assert sorted(calls) == [1, 2]


def test_both_tasks_share_the_encoder(architecture: dict[str, Any], image: torch.Tensor) -> None:
    network = make(architecture)
    weight = next(network.encoder.parameters())
    output = network(image)
    assert output.features is None  # nothing is pooled in training
    for task in (output.segmentation, output.classes):
        (gradient,) = torch.autograd.grad(task.square().sum(), weight, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_save_load_predict(architecture: dict[str, Any], image: torch.Tensor, tmp_path: Path) -> None:
    network = make(architecture).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())  # what is stored is float16
    state = {name: tensor.half() for name, tensor in unique_state(network).items()}
    importlib.import_module("safetensors.torch").save_file(state, tmp_path / "fold_0.safetensors")
    again = make(architecture, seed=9)
    load_weights(again, tmp_path, "0")
    with torch.no_grad():
        for one, two in zip(network(image)[:2], again(image)[:2], strict=True):
            assert torch.equal(one, two)


def test_the_head_looks_at_the_last_three_levels(architecture: dict[str, Any]) -> None:
    arguments = architecture["arch_kwargs"]
    deeper = architecture | {
        "arch_kwargs": arguments
        | {
            "n_stages": 4,
            "features_per_stage": [2, 4, 6, 8],
            "kernel_sizes": [[3, 3, 3]] * 4,
            "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
            "n_conv_per_stage": [1] * 4,
            "n_conv_per_stage_decoder": [1] * 3,
        }
    }
    network = make(deeper)
    lateral = network.head.get_submodule("lateral")
    assert [layer.in_channels for layer in lateral.children()] == [4, 6, 8]
    assert network(torch.zeros(1, 1, 16, 16, 16)).classes.shape == (1, 2)


def test_a_head_that_looks_at_the_segmentation_sees_it_in_every_phase(
    architecture: dict[str, Any], image: torch.Tensor
) -> None:
    network = make(architecture, head=FPNSettings(width=4, attention=("lesion",)), deep_supervision=True).eval()
    together = network(image)
    alone = network(image, segment=False)
    assert alone.segmentation is None
    torch.testing.assert_close(alone.classes, together.classes)
    alone.classes.sum().backward()
    for name, parameter in network.decoder.named_parameters():  # nnU-Net's decoder holds the encoder too
        assert (parameter.grad is None) != name.startswith("encoder."), name


def test_a_head_that_does_not_look_leaves_the_decoder_alone(architecture: dict[str, Any], image: torch.Tensor) -> None:
    network = make(architecture)
    calls: list[int] = []
    network.decoder.register_forward_hook(lambda *_: calls.append(1))
    network(image, segment=False)
    assert calls == []


@pytest.mark.parametrize(
    ("labels", "lesions", "expected"),
    [
        (PANORAMA_NAMES, ["lesion"], ((1,), (1, 4, 5))),
        ({"background": 0, "pancreas": 1, "tumor": 2}, ["tumor"], ((2,), (1, 2))),
        ({"background": 0, "mass": 1, "cyst": 2}, ["mass", "cyst"], ((1, 2), (1, 2))),
    ],
)
def test_regions(labels: dict[str, int], lesions: list[str], expected: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    regions = regions_of(labels, lesions)
    assert (regions.lesion, regions.foreground) == expected

"""Networks from descriptions: shapes, and descriptions that must not be built."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from ctcore.errors import BundleError
from ctcore.nnunet.networks import build_unet


def test_output_shapes(architecture: dict[str, Any]) -> None:
    image = torch.zeros(2, 1, 16, 16, 16)
    assert build_unet(architecture, 1, 3)(image).shape == (2, 3, 16, 16, 16)
    outputs = build_unet(architecture, 1, 3, deep_supervision=True)(image)
    assert [tuple(output.shape) for output in outputs] == [(2, 3, 16, 16, 16), (2, 3, 8, 8, 8)]


def strided(architecture: dict[str, Any], stem: int) -> dict[str, Any]:
    """Returns the description with another stride into its first level."""
    arguments = architecture["arch_kwargs"]
    return architecture | {"arch_kwargs": arguments | {"strides": [[stem] * 3, *arguments["strides"][1:]]}}


def test_behind_a_strided_stem_the_answer_is_of_the_image(architecture: dict[str, Any]) -> None:
    image = torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build_unet(strided(architecture, 2), 1, 3).eval()
    answer, coarse = network(image), network.get_submodule("decoder")(network.get_submodule("encoder")(image))
    assert coarse.shape == (2, 3, 16, 16, 16)
    assert answer.shape == (2, 3, 32, 32, 32)
    # Half voxels apart: three quarters of the nearer voxel on every axis, at the border all of it.
    torch.testing.assert_close(answer[..., 0, 0, 0], coarse[..., 0, 0, 0])
    torch.testing.assert_close(answer[..., 0, 0, 1], 0.75 * coarse[..., 0, 0, 0] + 0.25 * coarse[..., 0, 0, 1])


def test_deep_supervision_stays_on_the_stems_grid(architecture: dict[str, Any]) -> None:
    outputs = build_unet(strided(architecture, 2), 1, 3, deep_supervision=True)(torch.zeros(1, 1, 32, 32, 32))
    assert [tuple(output.shape[2:]) for output in outputs] == [(16, 16, 16), (8, 8, 8)]


def test_building_leaves_the_description_alone(architecture: dict[str, Any]) -> None:
    before = copy.deepcopy(architecture)
    build_unet(architecture, 1, 3)
    assert architecture == before


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "dynamic_network_architectures.architectures.unet.Nothing",
        "dynamic_network_architectures.architectures.unet.torch.hub.load",
        "dynamic_network_architectures.architectures.unet.np.load",
    ],
)
def test_only_network_classes_are_called(architecture: dict[str, Any], name: str) -> None:
    with pytest.raises(BundleError, match=f"architecture '{name}' is not one of"):
        build_unet(architecture | {"network_class_name": name}, 1, 2)


@pytest.mark.parametrize(
    "layer",
    [
        "subprocess.call",
        "torch.hub.load",
        "torch.nn.modules.module.torch.hub.load",
        "torch.nn.modules.module.OrderedDict",
    ],
)
def test_only_layers_are_called(architecture: dict[str, Any], tmp_path: Path, layer: str) -> None:
    proof = tmp_path / "called"
    arguments = architecture["arch_kwargs"] | {
        "nonlin": layer,
        "nonlin_kwargs": {"args": ["touch", str(proof)]},
    }
    with pytest.raises(BundleError, match=f"nonlin '{layer}' is not one of torch's layers"):
        build_unet(architecture | {"arch_kwargs": arguments}, 1, 2)
    assert not proof.exists()


def test_an_impossible_description(architecture: dict[str, Any]) -> None:
    arguments = architecture["arch_kwargs"] | {"features_per_stage": [4, 8]}
    with pytest.raises(BundleError, match="cannot be built"):
        build_unet(architecture | {"arch_kwargs": arguments}, 1, 2)
    with pytest.raises(BundleError, match="cannot be built"):
        build_unet({"network_class_name": architecture["network_class_name"], "arch_kwargs": {}}, 1, 2)

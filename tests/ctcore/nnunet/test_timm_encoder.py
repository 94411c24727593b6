"""U-Nets with timm's encoders: gradients, what the decoder sees, pretrained weights, the same in OpenVINO."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctcore.errors import BundleError, RecipeError
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.nnunet.encoders import import_timm
from ctcore.nnunet.exported import ExportedModel, load_model, load_weights, save_model, unique_state
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.timm_unet import describe_timm_unet
from ctcore.nnunet.timm_encoder import timm_features

PATCH = (32, 32)
FAMILIES = ("test_resnet", "test_convnext")
every_family = pytest.mark.parametrize("model", FAMILIES)


def build(model: str, seed: int = 0, *, deep_supervision: bool = False) -> Any:
    torch.manual_seed(seed)
    return build_unet(describe_timm_unet(model, PATCH), 1, 3, deep_supervision=deep_supervision)


def images(number: int = 4) -> torch.Tensor:
    return torch.randn(number, 1, *PATCH, generator=torch.Generator().manual_seed(1))


@every_family
def test_every_parameter_gets_a_finite_gradient(model: str) -> None:
    network = build(model, deep_supervision=True).train()
    for parameter in network.parameters():
        if not parameter.any():  # timm's residual blocks begin as identities: what is inside would see no gradient
            torch.nn.init.ones_(parameter)
    outputs = network(images())
    assert [tuple(output.shape[2:]) for output in outputs] == [(32, 32), (16, 16), (8, 8)]
    sum((output**2).mean() for output in outputs).backward()
    # nnU-Net's loss has the weight 0 for the coarsest output; here all count.
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any() or name.endswith("bias"), name  # a norm that follows takes some biases away


@every_family
def test_the_stem_and_timms_weights_begin_as_theirs(model: str) -> None:
    network = build(model)
    torch.manual_seed(0)
    reference = timm_features(model, network.encoder.timm_levels)
    for own, theirs in zip(network.encoder.body.parameters(), reference.parameters(), strict=True):
        # Whatever nnU-Net's initial weights do to a layer, timm's spread stays.
        torch.testing.assert_close(own.std(correction=0), theirs.std(correction=0), rtol=0.3, atol=0.02)


@every_family
def test_weights_travel(model: str, tmp_path: Path, exported: Any) -> None:
    network = build(model).train()
    network(images())  # batch normalisation learns its statistics
    description = describe_timm_unet(model, PATCH)
    saved = exported(architecture=description, patch_size=(1, *PATCH))
    save_model(tmp_path, saved, {"0": unique_state(network)})
    again = build_unet(load_model(tmp_path, ExportedModel).architecture, 1, 3)
    load_weights(again, tmp_path, "0")
    with torch.no_grad():
        torch.testing.assert_close(again(images()), network.eval()(images()), atol=0.02, rtol=0.01)


@every_family
def test_openvino_gives_the_same(model: str) -> None:
    network = build(model).eval()
    batch = np.ascontiguousarray(images(2).numpy())
    expected = TorchBackend(network)(batch)["segmentation"]
    np.testing.assert_allclose(OpenVinoBackend(network)(batch)["segmentation"], expected, atol=1e-4)


def test_only_models_that_timm_lists_are_built() -> None:
    description = describe_timm_unet("test_resnet", PATCH)
    for name in ("hf_hub:someone/model", "local-dir:/somewhere", "os.system"):
        arguments = description["arch_kwargs"] | {"timm_model": name}
        with pytest.raises(BundleError, match=f"'{name}' is not one of timm's models"):
            build_unet(description | {"arch_kwargs": arguments}, 1, 2)
    for changes in ({"pretrained": True}, {"conv_op": "torch.hub.load"}, {"timm_levels": [0, 9]}):
        with pytest.raises(BundleError):
            build_unet(description | {"arch_kwargs": description["arch_kwargs"] | changes}, 1, 2)
    other = description["arch_kwargs"] | {"features_per_stage": [16, 32, 32, 64]}
    with pytest.raises(BundleError, match=r"has levels of \[32, 32, 48\] channels, and \[32, 32, 64\] are described"):
        build_unet(description | {"arch_kwargs": other}, 1, 2)


def save(path: Path, state: dict[str, torch.Tensor]) -> Path:
    importlib.import_module("safetensors.torch").save_file(state, path)
    return path


@every_family
@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_weights(model: str, channels: int, tmp_path: Path) -> None:
    torch.manual_seed(7)
    whole = import_timm().create_model(model, in_chans=channels)
    path = save(tmp_path / "model.safetensors", whole.state_dict())
    network = build(model)
    stem = {name: tensor.clone() for name, tensor in network.encoder.stem.state_dict().items()}
    network.encoder.load_pretrained(path)
    assert all(torch.equal(tensor, network.encoder.stem.state_dict()[name]) for name, tensor in stem.items())
    # One channel sees the sum of what three saw.
    grey = images()
    colours = grey.expand(-1, channels, -1, -1)
    features = import_timm().create_model(
        model, in_chans=channels, features_only=True, out_indices=network.encoder.timm_levels
    )
    known = {name.replace("stages.", "stages_").replace("stem.", "stem_"): t for name, t in whole.state_dict().items()}
    known |= whole.state_dict()
    features.load_state_dict({name: known[name] for name in features.state_dict()})
    with torch.no_grad():
        expected, found = features.eval()(colours), network.eval().encoder.body(grey)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    network = build("test_resnet")
    before = [parameter.clone() for parameter in network.parameters()]
    whole = import_timm().create_model("test_resnet").state_dict()
    convnext = import_timm().create_model("test_convnext").state_dict()
    part = {name: tensor for name, tensor in whole.items() if not name.startswith("layer2.")}
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    for path in (
        save(tmp_path / "convnext.safetensors", convnext),
        save(tmp_path / "part.safetensors", part),
        save(tmp_path / "empty.safetensors", {}),
        tmp_path / "gone.safetensors",
        damaged,
    ):
        with pytest.raises(
            RecipeError, match=rf"encoder_weights '.*{path.name}' cannot be used for timm:test_resnet: "
        ):
            network.encoder.load_pretrained(path)
    assert all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))

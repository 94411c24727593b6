"""2-D U-Nets, nnU-Net's and timm's, with every head: gradients, weights that travel, one class a slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ctcore.inference.aggregate import aggregate_classes, foreground_share
from ctcore.inference.backends.choose import Execution
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.inference.predict import predict_ensemble
from ctcore.inference.slices import for_windows
from ctcore.nnunet.exported import Normalization, load_model, load_weights, save_model, unique_state
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.planning.plan import architecture_of
from ctcore.volume import Geometry, Volume
from stage2_multitask.heads.encoder_levels import EncoderLevels
from stage2_multitask.heads.make import make_head
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.network import build_network
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.recipe import MultiTaskRecipe
from tests.stage2_multitask.heads.tiny import CLASSES, HEADS, LABELS, REGIONS

PATCH = (1, 32, 32)
ENCODERS: dict[str, dict[str, Any]] = {
    "resenc": {"features": (4, 8, 8), "spacing_mm": (6.0, 1.0, 1.0)},
    "timm:test_resnet": {"features": ()},
    "timm:test_convnext": {"features": ()},
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
every_head = pytest.mark.parametrize("head", HEADS)


class MultiTask(nn.Module):
    """A U-Net and a head; the encoder runs once."""

    def __init__(self, architecture: dict[str, Any], head: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.unet = build_unet(architecture, 1, LABELS)
        levels = EncoderLevels.of_architecture(architecture, PATCH)
        self.head = make_head(HEADS[head], levels, CLASSES, REGIONS)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.unet.get_submodule("encoder")(images)
        segmentation = self.unet.get_submodule("decoder")(features)
        return {"segmentation": segmentation, "classes": self.head(features, segmentation)}


def describe(recipe: MultiTaskRecipe, encoder: str) -> dict[str, Any]:
    values = recipe.model_dump() | ENCODERS[encoder] | {"encoder": encoder, "patch_size": PATCH}
    return architecture_of(MultiTaskRecipe.model_validate(values))


def slices(number: int) -> torch.Tensor:
    return torch.randn(number, 1, *PATCH[1:], generator=torch.Generator().manual_seed(1))


@every_encoder
@every_head
def test_every_parameter_gets_a_finite_gradient(recipe: MultiTaskRecipe, encoder: str, head: str) -> None:
    network = MultiTask(describe(recipe, encoder), head).train()
    answer = network(slices(4))
    assert answer["segmentation"].shape == (4, LABELS, 32, 32)
    assert answer["classes"].shape == (4, CLASSES)
    weights = torch.arange(1.0, CLASSES + 1)  # of normalised logits the plain sum is constant
    (answer["segmentation"].square().mean() + (answer["classes"] * weights).square().mean()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith("unet.decoder.seg_layers.") and parameter.grad is None:
            continue  # answers at coarser levels are for deep supervision
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@every_encoder
def test_saved_loaded_and_run_slice_by_slice(recipe: MultiTaskRecipe, encoder: str, tmp_path: Path) -> None:
    architecture = describe(recipe, encoder)
    model = MultiTaskModel(
        architecture=architecture,
        spacing_mm=(6.0, 1.0, 1.0),
        patch_size=PATCH,
        normalization=Normalization(lower=-100, upper=200, mean=50, std=25),
        labels={"background": 0, "pancreas": 1, "lesion": 2},
        folds=("0", "1"),
        mirror_axes=(1, 2),
        trained_on="nothing",
        recipe={},
        lesion_label="lesion",
        class_names=("a", "b", "c"),
        head=recipe.head,
        aggregation="foreground-weighted mean",
    )
    trained = [MultiTask(architecture, "gap", seed).train() for seed in (0, 1)]
    for network in trained:
        network(slices(8))  # batch normalisation learns its statistics
    save_model(tmp_path, model, {str(fold): unique_state(network) for fold, network in enumerate(trained)})

    read = load_model(tmp_path, MultiTaskModel)
    assert read.patch_size == PATCH
    networks = [MultiTask(read.architecture, "gap", seed=5) for _ in read.folds]
    for fold, network in zip(read.folds, networks, strict=True):
        load_weights(network, tmp_path, fold)
    image = slices(11)[:, 0].numpy()[None]

    classes, segmentation = [], np.zeros((LABELS, 11, 32, 32))
    for network in networks:
        with torch.no_grad():
            answers = [network(torch.from_numpy(image[None, :, z].copy())) for z in range(11)]
        logits = np.stack([answer["segmentation"][0].numpy() for answer in answers], axis=1)
        shares = np.array([foreground_share(logits[:, z : z + 1], (1, 2)) for z in range(11)])
        of_slices = np.stack([answer["classes"][0].numpy() for answer in answers])
        classes.append(aggregate_classes(of_slices, shares, read.aggregation))
        segmentation += logits / 2
    for backend in (TorchBackend, OpenVinoBackend):
        adapted = [backend(for_windows(network, read.patch_size)) for network in networks]
        answer = predict_ensemble(adapted, image, read.patch_size, aggregation=read.aggregation)
        np.testing.assert_allclose(answer.segmentation, segmentation, atol=1e-3)
        assert answer.class_logits is not None
        np.testing.assert_allclose(answer.class_logits, np.mean(classes, axis=0), atol=1e-3)


def test_the_predictor_runs_a_2d_model(
    recipe: MultiTaskRecipe, random_model: Callable[..., Path], execution: Execution
) -> None:
    architecture = describe(recipe, "timm:test_resnet")
    folder = random_model(
        architecture=architecture,
        patch_size=PATCH,
        mirror_axes=(1, 2),
        class_names=("a", "b", "c"),
        labels={"background": 0, "pancreas": 1, "lesion": 2},
        head=HEADS["gap"],
        aggregation="mean",
    )
    array = np.random.default_rng(0).normal(50, 100, (5, 32, 32)).astype(np.float32)
    roi = Volume(array, Geometry(array.shape, recipe.spacing_mm))  # the network's own grid
    running = MultiTaskPredictor(folder, execution)
    answer = running.predict(roi)
    image = running.model.normalization.apply(np.rint(array))
    network = build_network(architecture, PATCH, running.labels, ["lesion"], 3, HEADS["gap"])
    load_weights(network, folder, "0")
    with torch.no_grad():
        outputs = network(torch.from_numpy(image)[:, None])._asdict()
    probabilities = outputs["segmentation"].softmax(1).numpy()
    np.testing.assert_allclose(answer.lesion_probability, probabilities[:, 2], atol=1e-4)
    expected = outputs["classes"].mean(0).softmax(0).numpy()
    np.testing.assert_allclose(list(answer.class_probabilities.values()), expected, atol=1e-4)
    assert MultiTaskPredictor(folder, execution, tta=True).predict(roi).segmentation.shape == (5, 32, 32)

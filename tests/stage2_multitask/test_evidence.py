"""The evidence for a class: by hand, by derivatives, and what it is of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.evidence import grad_cam
from benchmarks.forgetting import forgotten, likeness, shown
from ctcore.errors import RequestError
from ctcore.geometry import Box
from ctcore.inference.backends.choose import Execution
from ctcore.nnunet.exported import load_model
from ctcore.nnunet.processing import NnunetProcessing
from ctcore.volume import Geometry, Volume
from stage2_multitask.evidence import contrast, evidence_of_windows, spread
from stage2_multitask.heads.gap import GAPHead
from stage2_multitask.heads.head import ClassificationHead
from stage2_multitask.heads.settings import FPNSettings, GAPSettings
from stage2_multitask.model import MultiTaskModel
from stage2_multitask.network import build_network
from stage2_multitask.predictor import MultiTaskPredictor
from stage2_multitask.recipe import MultiTaskRecipe
from stage2_multitask.roi_grid import roi_grid
from tests.stage2_multitask.heads.tiny import HEADS, tiny_features, tiny_head, tiny_levels, tiny_segmentation
from tests.stage2_multitask.test_slices import PATCH, describe

MakeModel = Callable[..., Path]
every_head = pytest.mark.parametrize("name", HEADS)
every_dims = pytest.mark.parametrize("dims", [2, 3])


class Given(nn.Module):
    """A network whose encoder and decoder give what they were made with."""

    def __init__(self, features: Sequence[torch.Tensor], segmentation: torch.Tensor, head: ClassificationHead) -> None:
        super().__init__()
        self.features, self.segmentation, self.head = features, segmentation, head

    def encoder(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.features

    def decoder(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.segmentation


def evidence(network: Any, toward: torch.Tensor, scales: Sequence[tuple[int, ...]], *options: Any) -> torch.Tensor:
    """The evidence of a network on images whose values do not matter."""
    size = [n * s for n, s in zip(network.features[-1].shape[2:], scales[-1], strict=True)]
    return evidence_of_windows(network, torch.zeros(len(toward), 1, *size), toward, scales, *options)


def test_a_linear_head_over_averages_by_hand() -> None:
    head = GAPHead(2, 2)
    with torch.no_grad():
        head.classify.weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
        head.classify.bias.copy_(torch.tensor([3.0, 7.0]))
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [0.0, 0.0]]]])
    network = Given([torch.randn(1, 5, 4, 4), coarse], torch.zeros(1), head)
    told = evidence(network, torch.tensor([[-1.0, 1.0]]), [(1, 1), (2, 2)])
    # Of each of 4 places (2 f0 - f1) / 4: 0.5, 0, 1.5, 2; each over 2 x 2 pixels, between whose middles it is linear.
    assert told.sum().item() == pytest.approx(2 * 2.5 - 1)  # the difference of the logits but for the biases
    row = (0.75 * 0.5 + 0.25 * 1.5, 0.75 * 0 + 0.25 * 2)
    expected = [0.5, 0.75 * 0.5 + 0.25 * 0, 0.25 * 0.5 + 0.75 * 0, 0]
    assert (4 * told[0, 0]).tolist() == pytest.approx(expected)
    inner = [row[0], 0.75 * row[0] + 0.25 * row[1], 0.25 * row[0] + 0.75 * row[1], row[1]]
    assert (4 * told[0, 1]).tolist() == pytest.approx(inner)
    # Grad-CAM of a head whose gradient is the same everywhere is the same, but for what is negative.
    plain = evidence(network, torch.tensor([[-1.0, 1.0]]), [(1, 1), (2, 2)], grad_cam)
    torch.testing.assert_close(plain, told)


@every_head
@every_dims
def test_the_sum_is_what_scaling_the_features_changes(name: str, dims: int) -> None:
    """sum(A dL/dA) is dL/dt of the features t A at t = 1: here by differences, for every head."""
    head, features, segmentation = tiny_head(name, dims).eval(), tiny_features(dims), tiny_segmentation(dims)
    toward = torch.tensor([[1.0, -0.5, -0.5], [-1.0, 1.0, 0.0], [0.0, 0.25, -0.25]])
    told = evidence(Given(features, segmentation, head), toward, tiny_levels(dims).scales)
    step = 1e-3

    def scaled(factor: float) -> torch.Tensor:
        with torch.no_grad():
            doubled: torch.Tensor = head.double()([factor * f.double() for f in features], segmentation.double())
        return (doubled * toward).sum(1)

    slope = (scaled(1 + step) - scaled(1 - step)) / (2 * step)
    assert told.abs().sum() > 0
    torch.testing.assert_close(told.flatten(1).sum(1).double(), slope, atol=2e-3, rtol=2e-2)


def test_only_levels_that_the_head_takes_count() -> None:
    features, segmentation = tiny_features(3), tiny_segmentation(3)
    toward = torch.tensor([[1.0, -0.5, -0.5]] * 3)
    head, scales = tiny_head("gap", 3).eval(), tiny_levels(3).scales
    one = evidence(Given(features, segmentation, head), toward, scales)
    other = evidence(Given([features[0] + 9, features[1] - 9, features[2]], segmentation, head), toward, scales)
    assert torch.equal(one, other)


def test_spreading_keeps_the_sum() -> None:
    values = torch.randn(2, 1, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    fine = spread(values, (1, 4, 2), (3, 8, 8))
    assert fine.shape == (2, 3, 8, 8)
    torch.testing.assert_close(fine.sum((1, 2, 3)), values.sum((1, 2, 3, 4)))
    assert spread(values, (1, 4, 2), (3, 7, 8)).shape == (2, 3, 7, 8)  # the last block ends with the image


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((0.5, 0.3, 0.2), (1, -0.6, -0.4)), ((1.0, 0.0, 0.0), (1, -0.5, -0.5)), ((0.0, 0.0, 1.0), (1, 0, -1))],
)
def test_contrast_by_hand(probabilities: tuple[float, ...], expected: tuple[float, ...]) -> None:
    told = contrast("abc", dict(zip("abc", probabilities, strict=True)), "a")
    assert told.tolist() == pytest.approx(expected)


def test_contrast_is_the_gradient_of_the_log_odds() -> None:
    logits = torch.tensor([0.3, -1.2, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    p = logits.softmax(0)
    (gradient,) = torch.autograd.grad(p[2].log() - (1 - p[2]).log(), logits)
    told = contrast("abcd", dict(zip("abcd", p.tolist(), strict=True)), "c")
    np.testing.assert_allclose(told, gradient.numpy(), atol=1e-12)


@pytest.fixture
def roi() -> Volume:
    """On the network's own grid of 4 mm: 1, 2 and 2 windows of 16 voxels."""
    array = np.random.default_rng(0).normal(50, 100, (16, 18, 20)).astype(np.float32)
    return Volume(array, Geometry(array.shape, (4.0, 4.0, 4.0)))


def explained(predictor: MultiTaskPredictor, roi: Volume, folds: int = 99, **options: Any) -> Any:
    """The evidence for PDAC, and the probabilities."""
    running = predictor.begin(roi, **options)
    for _ in range(min(folds, running.folds_left)):
        running.add()
    probabilities = running.finish().class_probabilities
    return running.evidence("PDAC", probabilities), probabilities


@pytest.mark.parametrize("aggregation", ["mean", "foreground-weighted mean"])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_windows_and_folds_add_up_to_the_log_odds(
    random_model: MakeModel, roi: Volume, aggregation: str, backend: Any
) -> None:
    folder = random_model(folds=("0", "1"), head=GAPSettings(), aggregation=aggregation)
    predictor = MultiTaskPredictor(folder, Execution("cpu", backend, "fp32"), evidence=True)
    density, p = explained(predictor, roi)
    assert density.shape == roi.geometry.shape
    assert predictor.explainer is not None
    biases = [network.head.get_parameter("classify.bias") for network in predictor.explainer.networks]
    bias = float(np.mean([(b[1] - b[0]).item() for b in biases]))
    total = density.sum(dtype=np.float64) * roi.geometry.voxel_volume_ml
    assert total == pytest.approx(math.log(p["PDAC"] / p["non-PDAC"]) - bias, abs=1e-3)
    assert abs(total) > 1e-3
    again, _ = explained(predictor, roi)
    assert np.array_equal(density, again)


def test_folds_that_did_not_run_are_not_explained(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    folder = random_model(folds=("0", "1"))
    both = MultiTaskPredictor(folder, execution, evidence=True)
    first, _ = explained(both, roi, folds=1)
    alone, _ = explained(MultiTaskPredictor(folder, execution, folds=[0], evidence=True), roi)
    np.testing.assert_array_equal(first, alone)
    assert np.abs(explained(both, roi)[0] - first).max() > 0


def test_evidence_lies_in_the_windows_of_the_run(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    pancreas = np.zeros(roi.geometry.shape, np.uint8)
    pancreas[8, 5, 5] = 1
    predictor = MultiTaskPredictor(random_model(), execution, windows="guided", evidence=True)
    guided, _ = explained(predictor, roi, pancreas=pancreas)
    assert not guided[:, 16:].any()
    assert not guided[:, :, 16:].any()
    assert guided[:, :16, :16].any()


def test_evidence_comes_back_on_a_finer_grid(random_model: MakeModel, execution: Execution) -> None:
    array = np.random.default_rng(0).normal(50, 100, (32, 32, 32)).astype(np.float32)
    fine = Volume(array, Geometry(array.shape, (2.0, 2.0, 2.0)))
    predictor = MultiTaskPredictor(random_model(head=GAPSettings(), aggregation="mean"), execution, evidence=True)
    density, p = explained(predictor, fine)
    assert density.shape == array.shape
    assert predictor.explainer is not None
    bias = predictor.explainer.networks[0].head.get_parameter("classify.bias")
    expected = math.log(p["PDAC"] / p["non-PDAC"]) - (bias[1] - bias[0]).item()
    assert density.sum(dtype=np.float64) * fine.geometry.voxel_volume_ml == pytest.approx(expected, abs=1e-3)


def test_slices_explain_themselves(recipe: MultiTaskRecipe, random_model: MakeModel, execution: Execution) -> None:
    folder = random_model(
        architecture=describe(recipe, "resenc"),
        patch_size=PATCH,
        mirror_axes=(),
        spacing_mm=(6.0, 1.0, 1.0),
        labels={"background": 0, "pancreas": 1, "lesion": 2},
        head=HEADS["gap"],
        aggregation="mean",
    )
    array = np.random.default_rng(0).normal(50, 100, (11, 32, 32)).astype(np.float32)
    roi = Volume(array, Geometry(array.shape, (1.0, 1.0, 6.0)))
    predictor = MultiTaskPredictor(folder, execution, evidence=True)
    density, p = explained(predictor, roi)
    assert predictor.explainer is not None
    bias = predictor.explainer.networks[0].head.get_parameter("classify.bias")
    expected = math.log(p["PDAC"] / p["non-PDAC"]) - (bias[1] - bias[0]).item()
    assert density.sum(dtype=np.float64) * roi.geometry.voxel_volume_ml == pytest.approx(expected, abs=1e-3)
    changed = roi.with_array(np.where(np.arange(11)[:, None, None] == 3, array[::-1], array))
    other, _ = explained(predictor, changed)
    assert np.flatnonzero(np.abs(other - density).max(axis=(1, 2)) > 1e-9).tolist() == [3]


def test_a_deterministic_run_explains_with_one_thread(random_model: MakeModel, roi: Volume) -> None:
    threads: list[int] = []
    execution = Execution("cpu", "openvino", "fp32", 1, deterministic=True)
    predictor = MultiTaskPredictor(random_model(), execution, evidence=True)
    assert predictor.explainer is not None
    predictor.explainer.networks[0].encoder.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        explained(predictor, roi)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


def test_what_cannot_be_explained(random_model: MakeModel, execution: Execution, roi: Volume) -> None:
    running = MultiTaskPredictor(random_model(), execution).begin(roi)
    running.add()
    with pytest.raises(ValueError, match="made without evidence; make it with evidence=True"):
        running.evidence("PDAC", {"non-PDAC": 0.5, "PDAC": 0.5})
    folder = random_model("headless", head=None, class_names=())
    with pytest.raises(RequestError, match="has no classification head to explain"):
        MultiTaskPredictor(folder, execution, evidence=True)


def test_a_network_that_forgets_explains_otherwise(architecture: dict[str, Any], recipe: MultiTaskRecipe) -> None:
    torch.manual_seed(0)
    network = build_network(architecture, (16, 16, 16), recipe.labels, recipe.lesions, 2, FPNSettings(width=4)).eval()
    images = torch.randn(1, 1, 16, 16, 16)
    levels = [(1, 1, 1), (2, 2, 2), (4, 4, 4)][: len(architecture["arch_kwargs"]["strides"])]
    toward = torch.tensor([[-1.0, 1.0]])

    def map_of(changed: Any) -> Any:
        return shown(evidence_of_windows(changed, images, toward, levels)[0].numpy())

    original, kept = map_of(network), [parameter.clone() for parameter in network.parameters()]
    assert likeness(original, map_of(network)) == pytest.approx((1, 1))
    left = {name: likeness(original, map_of(changed.eval())) for name, changed in forgotten(network, 1)}
    assert list(left) == ["last layer", "head", "head, coarsest level", "head, encoder"]
    assert left["head, encoder"][0] < 0.5
    assert all(map(torch.equal, network.parameters(), kept))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 2, 0)])
def test_values_come_back_the_way_of_nnunet(random_model: MakeModel, transpose: tuple[int, int, int]) -> None:
    linear = {"function": "resample_data_or_seg_to_shape", "arguments": {"is_seg": False, "order": 1, "order_z": 0}}
    processing = NnunetProcessing.model_validate({"transpose": transpose, "image": linear, "logits": linear})
    model = load_model(random_model(processing=processing), MultiTaskModel)
    array = np.zeros((8, 12, 16), np.float32)
    array[:, 2:10, 4:16] = 50  # nnU-Net crops what is 0
    grid = roi_grid(Volume(array, Geometry(array.shape, (4.0, 4.0, 4.0))), model)
    sizes = grid.image.shape[1:]
    assert sorted(sizes) == [8, 8, 12]
    told = grid.values(np.ones((2, 2, 2), np.float32), Box((0, 0, 0), (2, 2, 2)))
    expected = np.zeros(array.shape, np.float32)
    expected[0:2, 2:4, 4:6] = 1
    np.testing.assert_allclose(told, expected, atol=1e-6)

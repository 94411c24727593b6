"""2-D networks on volumes: one prediction a slice, computed several at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from ctcore.errors import CaseError
from ctcore.inference import batches
from ctcore.inference.aggregate import Aggregation, aggregate_classes, foreground_share
from ctcore.inference.backends.openvino_backend import OpenVinoBackend
from ctcore.inference.backends.torch_backend import TorchBackend
from ctcore.inference.batches import windows_at_once
from ctcore.inference.predict import predict_ensemble
from ctcore.inference.slices import SliceNetwork, for_windows

Array = npt.NDArray[np.float32]


class TinySlices(nn.Module):
    """A 2-D network of three labels and two classes; normalised, as nnU-Net's are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.ReLU())
        self.segment = nn.Conv2d(4, 3, 1)
        self.classify = nn.Linear(4, 2)
        nn.init.normal_(self.segment.weight, std=2)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.features(images) * images
        return {"segmentation": self.segment(features), "classes": self.classify(features.mean(dim=(2, 3)))}


class CountingBackend(TorchBackend):
    """Keeps the batches that it computes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.batches: list[Array] = []

    def __call__(self, batch: Array) -> dict[str, Array]:
        self.batches.append(batch.copy())
        return super().__call__(batch)


def random_image(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def slice_by_slice(network: nn.Module, image: Array) -> tuple[Array, Array]:
    """The slow, obvious way: segmentation logits (k, z, y, x), class logits (z, n)."""
    with torch.no_grad():
        answers: list[Any] = [network(torch.from_numpy(image[None, :, z].copy())) for z in range(image.shape[1])]
    segmentation = np.stack([answer["segmentation"][0].numpy() for answer in answers], axis=1)
    return segmentation, np.stack([answer["classes"][0].numpy() for answer in answers])


def test_only_patches_of_depth_1_are_adapted() -> None:
    network = TinySlices()
    assert for_windows(network, (2, 16, 16)) is network
    adapted = for_windows(network, (1, 16, 16))
    assert isinstance(adapted, SliceNetwork)
    answer = adapted(torch.zeros(5, 1, 1, 16, 12))
    assert {name: tuple(value.shape) for name, value in answer.items()} == {
        "segmentation": (5, 3, 1, 16, 12),
        "classes": (5, 2),
    }


@pytest.mark.parametrize("rule", ["foreground-weighted mean", "mean", "max"])
@pytest.mark.parametrize("depth", [1, 8, 19])
def test_every_slice_counts_once(rule: Aggregation, depth: int) -> None:
    network = TinySlices().eval()
    image = random_image(1, depth, 16, 12)
    segmentation, classes = slice_by_slice(network, image)
    shares = [foreground_share(segmentation[:, z : z + 1], (1, 2)) for z in range(depth)]
    backend = CountingBackend(for_windows(network, (1, 16, 12)))
    answer = predict_ensemble([backend], image, (1, 16, 12), aggregation=rule)
    np.testing.assert_allclose(answer.segmentation, segmentation, atol=1e-5)
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, aggregate_classes(classes, np.array(shares), rule), atol=1e-5)
    assert {batch.shape for batch in backend.batches} == {(8, 1, 1, 16, 12)}
    assert len(backend.batches) == -(-depth // 8)
    seen = np.concatenate(backend.batches)[:, 0, 0]
    np.testing.assert_array_equal(seen[:depth], image[0])
    assert not seen[depth:].any()


def test_windows_within_a_slice_are_blended_slice_by_slice() -> None:
    network = TinySlices().eval()
    image = random_image(1, 3, 20, 16)
    whole = predict_ensemble([TorchBackend(for_windows(network, (1, 12, 12)))], image, (1, 12, 12), aggregation="mean")
    ones = [
        predict_ensemble([TorchBackend(for_windows(network, (1, 12, 12)))], image[:, z : z + 1], (1, 12, 12))
        for z in range(3)
    ]
    np.testing.assert_allclose(whole.segmentation, np.concatenate([one.segmentation for one in ones], 1), atol=1e-5)


def test_mirroring_within_the_slice() -> None:
    network = TinySlices().eval()
    image = random_image(1, 3, 16, 16)
    adapted = TorchBackend(for_windows(network, (1, 16, 16)))
    answer = predict_ensemble([adapted], image, (1, 16, 16), mirror_axes=(1, 2))
    mean = np.zeros((3, 3, 16, 16))
    for axes in ((), (2,), (3,), (2, 3)):
        segmentation, _ = slice_by_slice(network, np.ascontiguousarray(np.flip(image, axes)))
        mean += np.flip(segmentation, axes) / 4
    np.testing.assert_allclose(answer.segmentation, mean, atol=1e-5)


@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_openvino_gives_the_same() -> None:
    image = random_image(1, 11, 16, 12)
    expected, answer = (
        predict_ensemble([backend(for_windows(TinySlices().eval(), (1, 16, 12)))], image, (1, 16, 12))
        for backend in (TorchBackend, OpenVinoBackend)
    )
    np.testing.assert_allclose(answer.segmentation, expected.segmentation, atol=1e-4)
    assert expected.class_logits is not None
    assert answer.class_logits is not None
    np.testing.assert_allclose(answer.class_logits, expected.class_logits, atol=1e-4)


def test_what_is_not_finite_names_its_slice() -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 1 / (images - 3)

    image = np.zeros((1, 12, 4, 4), np.float32)
    image[0, 9, 1, 1] = 3
    with pytest.raises(CaseError, match=r"in the window \(9, 0, 0\) to \(10, 4, 4\)"):
        predict_ensemble([TorchBackend(for_windows(Broken(), (1, 4, 4)))], image, (1, 4, 4))


def test_how_many_at_once() -> None:
    assert windows_at_once((2, 64, 64)) == 1
    assert windows_at_once((1, 64, 64)) == batches.MOST_SLICES == 8
    assert windows_at_once((1, 512, 512)) == 2
    assert windows_at_once((1, 4096, 4096)) == 1

"""Convolutions from fewer products: what PyTorch computes in double precision, and only where they suit."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ctcore.inference.backends import winograd
from ctcore.inference.backends.openvino_backend import import_openvino, openvino_core
from ctcore.inference.backends.winograd import INPUTS, KERNELS, OUTPUTS, spares_time, with_winograd

Shape = tuple[int, ...]


def test_the_products_make_a_convolution_of_three_taps() -> None:
    """The matrices compute voxel i as the sum of taps t times voxels i + t."""
    each = np.einsum("op,pt,pi->oti", OUTPUTS, KERNELS, INPUTS)  # (voxel of the result, tap, voxel)
    for voxel, tap, source in np.ndindex(4, 3, 6):
        assert each[voxel, tap, source] == pytest.approx(float(source == voxel + tap), abs=1e-12)


def made(kernel: npt.NDArray[np.float32], features: Shape, **attributes: Any) -> Any:
    """Returns a model of one convolution."""
    operations: Any = importlib.import_module("openvino.opset13")
    chosen: dict[str, Any] = {"strides": [1, 1, 1], "pads": [1, 1, 1], "dilations": [1, 1, 1]} | attributes
    image = operations.parameter(list(features), np.float32)
    pads = chosen["pads"]
    result = operations.convolution(image, kernel, chosen["strides"], pads, pads, chosen["dilations"])
    return import_openvino().Model([result], [image], "one")


def drawn(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("strides", [(1, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("features", [(1, 32, 8, 6, 7), (2, 33, 12, 5, 4)])
def test_it_is_the_convolution(features: Shape, strides: Shape) -> None:
    kernel, image = drawn(40, features[1], 3, 3, 3), drawn(*features)
    model = made(kernel, features, strides=list(strides))
    assert with_winograd(model) == 1
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    answer = compiled(image)[0]

    double = torch.from_numpy(image).double(), torch.from_numpy(kernel).double()
    truth = torch.nn.functional.conv3d(*double, stride=strides, padding=1).numpy()
    assert answer.shape == truth.shape
    assert np.abs(answer - truth).max() < 1e-5 * np.abs(truth).max()


@pytest.mark.parametrize(
    ("kernel", "features", "attributes"),
    [
        ((32, 32, 3, 3, 3), (1, 32, 10, 6, 6), {}),
        ((32, 32, 3, 3, 3), (1, 32, 4, 6, 6), {}),
        ((31, 32, 3, 3, 3), (1, 32, 8, 6, 6), {}),
        ((32, 31, 3, 3, 3), (1, 31, 8, 6, 6), {}),
        ((32, 32, 1, 3, 3), (1, 32, 8, 6, 6), {"pads": [0, 1, 1]}),
        ((32, 32, 3, 3, 3), (1, 32, 8, 6, 6), {"pads": [0, 1, 1]}),
        ((32, 32, 3, 3, 3), (1, 32, 8, 6, 6), {"strides": [2, 2, 2]}),
        ((32, 32, 3, 3, 3), (1, 32, 8, 6, 6), {"dilations": [2, 1, 1]}),
        ((32, 32, 3, 3), (1, 32, 8, 8), {"strides": [1, 1], "pads": [1, 1], "dilations": [1, 1]}),
        ((32, 32, 3, 3, 3), (-1, 32, 8, 6, 6), {}),
    ],
    ids=["depth", "one four", "out", "in", "flat", "not padded", "strided", "dilated", "slices", "any batch"],
)
def test_what_does_not_suit_stays(kernel: Shape, features: Shape, attributes: dict[str, Any]) -> None:
    model = made(drawn(*kernel), features, **attributes)
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    assert with_winograd(model) == 0
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before


@pytest.mark.parametrize(
    ("flags", "answer"),
    [(None, False), (set(), False), ({"avx2"}, True), ({"avx2", "avx512f"}, False)],
    ids=["unknown", "old", "eight", "sixteen"],
)
def test_the_processors_that_it_is_for(flags: set[str] | None, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "processor_flags", lambda: flags)
    assert spares_time() is answer

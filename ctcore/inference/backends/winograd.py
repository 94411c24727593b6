"""Convolutions with half the multiplications, for OpenVINO on processors that are slow at them.

Winograd's F(4, 3) along the first spatial axis: four voxels of a convolution of three taps from six products instead of
twelve (Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). The other two axes are convolved as
ever. In float32 a result is about twice as far from the exact one as the plain convolution's, some 1e-6 of its size.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ctcore.inference.backends.processor import processor_flags

LEAST_CHANNELS = 32
"""With fewer channels in or out, what is spared in products is lost in reading and writing sums."""

STEP = 4
"""Voxels that are computed together."""

INPUTS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
"""Six sums of six neighbouring voxels."""
KERNELS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""The factor of each: a sum of the kernel's three taps."""
OUTPUTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
"""Four voxels of the result as sums of the products."""


def spares_time() -> bool:
    """Tells whether it was measured to be faster on such a processor: one that multiplies eight numbers at once.

    Those with sixteen wait for memory sooner, and compute in bfloat16 where they can.
    """
    flags = processor_flags() or frozenset()
    return "avx2" in flags and "avx512f" not in flags


def with_winograd(model: Any) -> int:
    """Replaces the convolutions of an `openvino.Model`, in place, where that is faster; returns how many.

    These are of features (b, c, z, y, x) of known shape with a depth that is a multiple of `STEP`, at least
    `LEAST_CHANNELS` in and out, kernels of 3 x 3 x 3, padded, and neither strided along z nor dilated.
    """
    suited = [node for node in model.get_ordered_ops() if _is_suited(node)]
    for node in suited:
        result = _convolution(node)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(result.output(0))
    model.validate_nodes_and_infer_types()
    return len(suited)


def _is_suited(node: Any) -> bool:
    if node.get_type_name() != "Convolution" or node.input_value(1).get_node().get_type_name() != "Constant":
        return False
    attributes, features, kernel = node.get_attributes(), node.input(0).get_partial_shape(), node.input(1).get_shape()
    return bool(
        features.is_static
        and len(kernel) == 5
        and tuple(kernel[2:]) == (3, 3, 3)
        and min(kernel[:2]) >= LEAST_CHANNELS
        and node.input(0).get_shape()[2] % STEP == 0
        and node.input(0).get_shape()[2] > STEP
        and tuple(attributes["dilations"]) == (1, 1, 1)
        and attributes["strides"][0] == attributes["pads_begin"][0] == attributes["pads_end"][0] == 1
    )


def _convolution(node: Any) -> Any:
    """Returns what stands for a convolution."""
    operations: Any = importlib.import_module("openvino.opset13")
    attributes, features = node.get_attributes(), node.input_value(0)
    batch, channels, depth, *plane = node.input(0).get_shape()
    parts = depth // STEP

    def along_z(values: Any, start: int, stop: int, step: int = 1) -> Any:
        ends = (operations.constant(np.array([number])) for number in (start, stop, step, 2))
        return operations.slice(values, *ends)

    # Voxel by voxel of each four, with one neighbour before and one behind.
    fours = [along_z(features, first, depth, STEP) for first in range(STEP)]
    outside = operations.broadcast(operations.constant(np.float32(0)), np.array([batch, channels, 1, *plane]))
    before = operations.concat([outside, along_z(fours[-1], 0, parts - 1)], 2)
    behind = operations.concat([along_z(fours[0], 1, parts), outside], 2)
    taps = node.input_value(1).get_node().data.astype(np.float64)
    products = [
        operations.convolution(
            _sum(operations, factors, [before, *fours, behind]),
            np.einsum("t,oityx->oiyx", of_taps, taps)[:, :, None].astype(np.float32),
            [1, *attributes["strides"][1:]],
            [0, *attributes["pads_begin"][1:]],
            [0, *attributes["pads_end"][1:]],
            [1, 1, 1],
        )
        for factors, of_taps in zip(INPUTS, KERNELS, strict=True)
    ]
    beside = operations.constant(np.array([3]))
    computed = [operations.unsqueeze(_sum(operations, factors, products), beside) for factors in OUTPUTS]
    return operations.reshape(operations.concat(computed, 3), np.array(node.output(0).get_shape()), False)


def _sum(operations: Any, factors: Sequence[float], values: Sequence[Any]) -> Any:
    """Returns a weighted sum; OpenVINO fuses it into one pass."""
    total = None
    for factor, value in zip(factors, values, strict=True):
        if factor == 0:
            continue
        term = value if abs(factor) == 1 else operations.multiply(value, np.float32(abs(factor)))
        if total is None:
            total = term if factor > 0 else operations.negative(term)
        else:
            total = operations.add(total, term) if factor > 0 else operations.subtract(total, term)
    return total

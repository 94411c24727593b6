import numpy as np
import torch

from benchmarks.rounded_bf16 import make_rounded, rounded
from ctcore.inference.backends.choose import Execution, make_backend

BF16 = Execution("cpu", "torch", "bf16")


def test_bfloat16_keeps_eight_binary_digits() -> None:
    values = torch.tensor([1 + 2**-7, 1 + 2**-9, -(1 + 3 * 2**-8)])

    assert rounded(values).tolist() == [1 + 2**-7, 1, -(1 + 2**-6)]  # the last is half-way: to the even one


def test_factors_are_rounded_and_their_sum_is_not_before_its_end() -> None:
    network = torch.nn.Conv3d(1, 1, (1, 1, 2), bias=False)
    with torch.no_grad():
        network.weight[:] = torch.tensor([1 + 2**-9, 1.0])  # 1 and 1
    backend = make_rounded(network, BF16, make_backend)
    image = np.array([1 + 2**-8 + 2**-9, 2**-7 + 2**-9], dtype=np.float32)  # 1 + 2^-7 and 2^-7 + 2^-9

    answer = backend(image.reshape(1, 1, 1, 1, 2))["segmentation"]

    assert answer.item() == 1 + 2**-6  # 1 + 2^-6 + 2^-9, rounded


def test_layers_within_layers_are_rounded_once_each() -> None:
    network = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3)), torch.nn.InstanceNorm3d(2))
    image = np.random.default_rng(0).normal(size=(1, 1, 5, 5, 5)).astype(np.float32)

    answer = make_rounded(network, BF16, make_backend)(image)["segmentation"]

    assert np.array_equal(answer, rounded(torch.from_numpy(answer)).numpy())


def test_float32_is_left_alone() -> None:
    network = torch.nn.Conv3d(1, 1, 1, bias=False)
    with torch.no_grad():
        network.weight[:] = 1 + 2**-9
    backend = make_rounded(network, Execution("cpu", "torch", "fp32"), make_backend)
    assert backend(np.ones((1, 1, 1, 1, 1), np.float32))["segmentation"].item() == 1 + 2**-9

"""What a network computes in, by device and wish."""

from __future__ import annotations

import pytest
import torch

from ctcore.errors import RequestError
from ctcore.nnunet.training import precision
from ctcore.nnunet.training.precision import Precision, autocast, compute_type, full_precision, gradient_scaler

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "has_bf16", "wish", "expected"),
    [
        (CPU, True, "auto", torch.bfloat16),
        (CPU, False, "auto", torch.float32),
        (GPU, True, "auto", torch.float16),
        (CPU, True, "fp32", torch.float32),
        (CPU, False, "bf16", torch.bfloat16),
        (GPU, False, "bf16", torch.bfloat16),
        (GPU, False, "fp16", torch.float16),
    ],
)
def test_types(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, has_bf16: bool, wish: Precision, expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has_bf16)
    assert compute_type(device, wish) is expected


def test_no_float16_on_a_cpu() -> None:
    with pytest.raises(RequestError, match="precision 'fp16' trains on a GPU only, not on 'cpu'; use bf16 or fp32"):
        compute_type(CPU, "fp16")


def test_autocast_on_a_cpu() -> None:
    layer, image = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with autocast(CPU, torch.bfloat16):
        assert layer(image).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert layer(image).dtype is torch.float32
    assert gradient_scaler(torch.bfloat16) is None


def test_full_precision() -> None:
    half = torch.ones(1, dtype=torch.bfloat16)
    assert full_precision(half).dtype is torch.float32
    assert [tensor.dtype for tensor in full_precision([half, half])] == [torch.float32] * 2

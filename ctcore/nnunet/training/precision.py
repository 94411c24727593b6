"""Mixed precision in training: which type the network computes in, on which device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from ctcore.errors import RequestError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""`auto`: float16 on a GPU (nnU-Net's choice), bfloat16 on a CPU that computes it natively, else float32."""


def cpu_has_bf16() -> bool:
    """Tells whether this processor computes bfloat16 natively (AVX-512 BF16 or AMX)."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def compute_type(device: torch.device, precision: Precision) -> torch.dtype:
    """Returns the type in which convolutions are computed.

    Raises:
        RequestError: the device cannot train in it.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if device.type == "cpu" and cpu_has_bf16() else torch.float32
    if precision == "fp16" and device.type != "cuda":
        raise RequestError(f"precision 'fp16' trains on a GPU only, not on '{device.type}'; use bf16 or fp32")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Returns a block in which the network computes in `dtype` where that is safe."""
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype=dtype)


def gradient_scaler(dtype: torch.dtype) -> torch.amp.GradScaler | None:
    """Returns what keeps small gradients from vanishing in float16; the other types need none."""
    return torch.amp.GradScaler("cuda") if dtype is torch.float16 else None


def full_precision(output: Any) -> Any:
    """Returns network outputs in float32, in which losses are computed."""
    if isinstance(output, list | tuple):
        return [tensor.float() for tensor in output]
    return output.float()

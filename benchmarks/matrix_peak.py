"""What this machine's matrix products reach: the roof over a network's speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ctcore.inference.backends.choose import cpu_has_bf16

Kind = Literal["fp32", "bf16", "fp16"]

CPU_SIZE = 4096
GPU_SIZE = 8192
ROUNDS = 3
GIGA = 1e9


def matrix_peak(device: str, size: int | None = None) -> dict[Kind, float]:
    """Returns 10^9 floating point operations a second of square matrix products, by precision: the best of all tries.

    Args:
        device: `cpu` or `cuda`. A CPU computes with PyTorch and with OpenVINO, in bf16 only if the processor has it.
        size: rows and columns of the matrices; by default enough for the peak.
    """
    if device.startswith("cuda"):
        return {"fp32": _torch(device, "fp32", size or GPU_SIZE), "fp16": _torch(device, "fp16", size or GPU_SIZE)}
    kinds: tuple[Kind, ...] = ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)
    peak = {kind: _torch(device, kind, size or CPU_SIZE) for kind in kinds}
    try:
        return {kind: max(value, _openvino(kind, size or CPU_SIZE)) for kind, value in peak.items()}
    except ImportError:
        return peak


def higher(first: dict[Kind, float], second: dict[Kind, float]) -> dict[Kind, float]:
    """Returns the better of two measurements, by precision."""
    return {kind: max(first.get(kind, 0.0), value) for kind, value in second.items()}


def _torch(device: str, kind: Kind, size: int) -> float:
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[kind]
    first, second = (torch.randn((size, size), device=device).to(dtype) for _ in range(2))

    def multiply() -> None:
        with torch.inference_mode():
            first @ second
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return _best(multiply, size)


def _openvino(kind: Kind, size: int) -> float:
    from ctcore.inference.backends.openvino_backend import import_openvino, openvino_core

    openvino = import_openvino()
    operators: Any = __import__("openvino.opset13", fromlist=["opset13"])
    inputs = [operators.parameter([size, size], np.float32) for _ in range(2)]
    model = openvino.Model([operators.matmul(*inputs, False, False)], inputs)
    hint = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[kind], "PERFORMANCE_HINT": "LATENCY"}
    request = openvino_core().compile_model(model, "CPU", hint).create_infer_request()
    rng = np.random.default_rng(0)
    arrays = {index: rng.standard_normal((size, size), dtype=np.float32) for index in range(2)}
    return _best(lambda: request.infer(arrays, share_inputs=True, share_outputs=True), size)


def _best(multiply: Callable[[], Any], size: int) -> float:
    multiply()  # allocates
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - begin)
    return 2.0 * size**3 / min(seconds) / GIGA

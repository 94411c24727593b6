from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from ctcore.errors import RequestError
from ctcore.inference.backends import choose, processor
from ctcore.inference.backends.choose import Execution, make_backend, resolve


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with bfloat16 and without a GPU; tests change what they need."""
    monkeypatch.setattr(choose, "_cuda_devices", lambda: 0)
    monkeypatch.setattr(choose, "cpu_has_bf16", lambda: True)
    return monkeypatch


def test_auto_on_a_cpu(machine: pytest.MonkeyPatch) -> None:
    assert resolve() == Execution("cpu", "openvino", "bf16")
    machine.setattr(choose, "cpu_has_bf16", lambda: False)
    assert resolve() == Execution("cpu", "openvino", "fp32")


def test_auto_without_openvino(machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    machine.setitem(sys.modules, "openvino", None)
    with caplog.at_level(logging.WARNING):
        assert resolve() == Execution("cpu", "torch", "bf16")
    assert "OpenVINO does not import" in caplog.text
    with pytest.raises(RequestError, match="backend 'openvino' does not import"):
        resolve("auto", "openvino")


def test_auto_on_a_gpu(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(choose, "_cuda_devices", lambda: 2)
    assert resolve() == Execution("cuda:0", "torch", "fp16")
    assert resolve("cuda") == Execution("cuda:0", "torch", "fp16")
    assert resolve("cuda:1", "torch", "bf16") == Execution("cuda:1", "torch", "bf16")
    assert resolve("cuda", precision="fp32") == Execution("cuda:0", "torch", "fp32")
    assert resolve("cpu") == Execution("cpu", "openvino", "bf16")
    assert resolve(backend="openvino") == Execution("cpu", "openvino", "bf16")


def test_explicit_values_stand(machine: pytest.MonkeyPatch) -> None:
    assert resolve("cpu", "torch", "fp32") == Execution("cpu", "torch", "fp32")
    assert resolve("cpu", "openvino", "fp32") == Execution("cpu", "openvino", "fp32")


@pytest.mark.parametrize(
    ("device", "backend", "precision", "message"),
    [
        ("gpu", "auto", "auto", "unknown device 'gpu'"),
        ("cuda:x", "auto", "auto", "unknown device 'cuda:x'"),
        ("auto", "tensorrt", "auto", "unknown backend 'tensorrt'; use one of auto, torch, openvino"),
        ("auto", "auto", "int8", "unknown precision 'int8'; use one of auto, fp32, bf16, fp16"),
        ("cuda:1", "auto", "auto", r"device 'cuda:1' is not there \(GPUs that PyTorch can use: cuda:0\)"),
        ("cuda", "openvino", "auto", "backend 'openvino' computes on CPUs, not on 'cuda:0'"),
        ("cpu", "auto", "fp16", "precision 'fp16' is for GPUs"),
    ],
)
def test_what_cannot_be_had_is_refused(
    machine: pytest.MonkeyPatch, device: str, backend: str, precision: str, message: str
) -> None:
    machine.setattr(choose, "_cuda_devices", lambda: 1)
    with pytest.raises(RequestError, match=message):
        resolve(device, backend, precision)


def test_what_the_machine_lacks_is_refused(machine: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"device 'cuda' is not there \(GPUs that PyTorch can use: none\)"):
        resolve("cuda")
    machine.setattr(choose, "cpu_has_bf16", lambda: False)
    with pytest.raises(RequestError, match="precision 'bf16'"):
        resolve("cpu", "auto", "bf16")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 wbnoinvd\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("model name\t: amx_bf16 imitation\nflags\t\t: fpu avx512f\n", False),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_bf16_is_read_from_the_processors_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    assert choose.cpu_has_bf16() is expected


def test_make_backend_makes_what_was_chosen() -> None:
    batch = np.ones((1, 1, 2, 2, 2), np.float32)
    for execution in (Execution("cpu", "torch", "bf16"), Execution("cpu", "openvino", "fp32")):
        backend = make_backend(nn.Conv3d(1, 2, 1), execution, cache=False)
        assert (backend.name, backend.precision) == (execution.backend, execution.precision)
        assert backend(batch)["segmentation"].shape == (1, 2, 2, 2, 2)

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ctcore.errors import RequestError
from ctcore.inference.backends import choose, on_gpu, processor
from ctcore.inference.backends.choose import Execution, make_backend, resolve
from ctcore.inference.backends.openvino_backend import openvino_threads

ONE_THREAD = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from torch import nn
from ctcore.inference.backends.choose import make_backend, resolve
for backend in ("openvino", "torch"):
    execution = resolve("cpu", backend, "fp32")
    assert execution.threads == 1, execution
    answer = make_backend(nn.Conv3d(1, 2, 1), execution)(np.ones((1, 1, 2, 2, 2), np.float32))
    assert answer["segmentation"].shape == (1, 2, 2, 2, 2)
"""


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
    backend = make_backend(nn.Conv3d(1, 2, 1), resolve())
    assert (backend.name, backend.precision) == ("torch", "bf16")
    assert backend(np.ones((1, 1, 2, 2, 2), np.float32))["segmentation"].shape == (1, 2, 2, 2, 2)


def test_neither_openvino_nor_bf16_is_float32_in_torch(machine: pytest.MonkeyPatch) -> None:
    machine.setitem(sys.modules, "openvino", None)
    machine.setattr(choose, "cpu_has_bf16", lambda: False)
    assert resolve() == Execution("cpu", "torch", "fp32")


def test_auto_on_a_gpu(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(choose, "_cuda_devices", lambda: 2)
    assert resolve() == Execution("cuda:0", "torch", "fp16")
    assert resolve("cuda") == Execution("cuda:0", "torch", "fp16")
    assert resolve("cuda:1", "torch", "bf16") == Execution("cuda:1", "torch", "bf16")
    assert resolve("cuda", precision="fp32") == Execution("cuda:0", "torch", "fp32")
    assert resolve("cpu") == Execution("cpu", "openvino", "bf16")
    assert resolve(backend="openvino") == Execution("cpu", "openvino", "bf16")


def test_a_cuda_build_without_a_device_computes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_driver_is_there", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve().device == "cpu"
    with pytest.raises(RequestError, match=r"'cuda' is not there \(.*: none, no device or no driver is there\)"):
        resolve("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(RequestError, match=r"none, this PyTorch is built without CUDA\); use --device cpu"):
        resolve("cuda")


def test_without_a_driver_pytorch_is_not_asked_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(choose, "_AMD_DRIVER", Path("nowhere"))
    monkeypatch.setattr("ctypes.CDLL", unknown)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("PyTorch was asked"))
    assert resolve().device == "cpu"
    monkeypatch.setattr(choose, "_AMD_DRIVER", Path("/"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve().device == "cuda:0"


def test_the_choice_is_told_with_its_threads(machine: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    machine.setattr(torch, "get_num_threads", lambda: 3)
    with caplog.at_level(logging.INFO):
        assert resolve("cpu", "torch", "fp32").threads == 3
        assert resolve("cpu", "openvino", "fp32").threads == openvino_threads() >= 1
    assert "computing on cpu with torch in fp32, 3 threads" in caplog.text
    machine.setattr(choose, "_cuda_devices", lambda: 1)
    assert str(resolve("cuda", precision="bf16")) == "cuda:0 with torch in bf16"
    assert str(Execution("cpu", "torch", "fp32", 1)) == "cpu with torch in fp32, 1 thread"


def test_one_thread_is_enough() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # what PyTorch goes by where it is set
    command = [sys.executable, "-c", ONE_THREAD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


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
    with pytest.raises(RequestError, match=r"device 'cuda' is not there \(GPUs that PyTorch can use: none, "):
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
        backend = make_backend(nn.Conv3d(1, 2, 1), execution)
        assert (backend.name, backend.precision) == (execution.backend, execution.precision)
        assert backend(batch)["segmentation"].shape == (1, 2, 2, 2, 2)


def test_a_gpu_without_memory_leaves_the_network_to_what_the_cpu_would_get(machine: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    machine.setattr(on_gpu, "TorchBackend", full)
    backend = make_backend(nn.Conv3d(1, 2, 1), Execution("cuda:0", "torch", "fp16"))
    expected = resolve("cpu")
    assert (backend.name, backend.precision) == (expected.backend, expected.precision)
    assert backend.flags == (on_gpu.FLAG_OUT_OF_MEMORY,)

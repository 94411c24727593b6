"""Which device, backend and precision a run uses."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ctcore.errors import RequestError
from ctcore.inference.backends.backend import Backend, ExactBackendName, ExactPrecision
from ctcore.inference.backends.processor import processor_flags
from ctcore.inference.backends.stored_network import StoredNetwork

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BackendName = Literal["auto", "torch", "openvino"]

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Processor flags, as Linux names them, of instructions that multiply bfloat16 numbers."""

_AMD_DRIVER = Path("/dev/kfd")
"""There where AMD's driver is; PyTorch takes its GPUs for CUDA's."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """A choice that can be carried out on this machine.

    Attributes:
        device: `cpu` or `cuda:N`.
        backend: the library that computes.
        precision: the arithmetic of the convolutions.
        threads: how many of the processor's threads compute; None on a GPU. It does not make another choice.
        deterministic: whether a network gives the same bits every time, however many threads there are; slower.
    """

    device: str
    backend: ExactBackendName
    precision: ExactPrecision
    threads: int | None = field(default=None, compare=False)
    deterministic: bool = False

    def __str__(self) -> str:
        """Returns it in words."""
        threads = "" if self.threads is None else f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        same = ", deterministic" if self.deterministic else ""
        return f"{self.device} with {self.backend} in {self.precision}{threads}{same}"


def resolve(
    device: str = "auto", backend: str = "auto", precision: str = "auto", *, deterministic: bool = False
) -> Execution:
    """Settles every `auto` by what this machine has, and refuses what it cannot do.

    A GPU, where there is one, computes with PyTorch in fp16; a CPU with OpenVINO (PyTorch where OpenVINO does not
    import), in bf16 where the processor has it and in fp32 elsewhere.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        backend: `auto`, `torch` or `openvino`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        deterministic: whether networks are to give the same bits every time: on a CPU with one thread, on a GPU with
            algorithms that are chosen by rule, not by trial.

    Raises:
        RequestError: a value is unknown, or not to be had on this machine or with the other values.
    """
    _check_value("backend", backend, get_args(BackendName))
    _check_value("precision", precision, get_args(Precision))
    chosen_device = _resolve_device(device, backend)
    chosen_backend = _resolve_backend(backend, chosen_device)
    execution = Execution(
        chosen_device,
        chosen_backend,
        _resolve_precision(precision, chosen_device),
        _threads(chosen_device, chosen_backend, deterministic=deterministic),
        deterministic,
    )
    logger.info("computing on %s", execution)
    return execution


def make_backend(network: torch.nn.Module | StoredNetwork, execution: Execution) -> Backend:
    """Makes a network ready to compute; the network is taken over (its weights may move to a GPU).

    Args:
        network: a network in evaluation mode whose `forward` returns segmentation logits, or named `segmentation` and
            `classes` logits. What OpenVINO compiles of a stored one is kept in the user's cache folder.
        execution: what `resolve` chose.

    Raises:
        BundleError: a stored network cannot be built.
    """
    if execution.backend == "openvino":
        from ctcore.inference.backends.compiled_cache import user_cache
        from ctcore.inference.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(network, execution.precision, user_cache(), one_thread=execution.deterministic)
    module = network.build() if isinstance(network, StoredNetwork) else network
    if execution.device == "cpu":
        from ctcore.inference.backends.torch_backend import TorchBackend

        return TorchBackend(module, execution.device, execution.precision)
    from ctcore.inference.backends.on_gpu import OnGpu

    return OnGpu(
        module,
        execution.device,
        execution.precision,
        to_cpu=lambda network: make_backend(network, resolve("cpu", deterministic=execution.deterministic)),
        deterministic=execution.deterministic,
    )


def cpu_has_bf16() -> bool:
    """Tells whether the processor multiplies bfloat16 numbers by itself."""
    flags = processor_flags()
    if flags is not None:
        return not BF16_FLAGS.isdisjoint(flags)
    try:
        from ctcore.inference.backends.openvino_backend import openvino_core

        return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except ImportError:
        return False


def _check_value(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RequestError(f"unknown {option} '{value}'; use one of {', '.join(allowed)}")


def _resolve_device(device: str, backend: str) -> str:
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise RequestError(f"unknown device '{device}'; use auto, cpu, cuda or cuda:N")
    if device == "cpu" or (device == "auto" and backend == "openvino"):
        return "cpu"
    count = _cuda_devices()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(match.group(1) or 0)
    if index >= count:
        present = ", ".join(f"cuda:{i}" for i in range(count)) or f"none, {_why_no_gpu()}"
        raise RequestError(f"device '{device}' is not there (GPUs that PyTorch can use: {present}); use --device cpu")
    return f"cuda:{index}"


def _cuda_devices() -> int:
    if not _driver_is_there():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _driver_is_there() -> bool:
    """Tells whether there may be a GPU; where there is no driver, PyTorch, slow to import, need not be asked."""
    if _AMD_DRIVER.exists():
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _why_no_gpu() -> str:
    import torch

    return "this PyTorch is built without CUDA" if torch.version.cuda is None else "no device or no driver is there"


def _threads(device: str, backend: ExactBackendName, *, deterministic: bool) -> int | None:
    if device != "cpu":
        return None
    if deterministic:
        return 1
    if backend == "openvino":
        from ctcore.inference.backends.openvino_backend import openvino_threads

        return openvino_threads()
    import torch

    return torch.get_num_threads()


def _resolve_backend(backend: str, device: str) -> ExactBackendName:
    if device != "cpu":
        if backend == "openvino":
            raise RequestError(f"backend 'openvino' computes on CPUs, not on '{device}'; use --backend torch")
        return "torch"
    if backend == "torch":
        return "torch"
    try:
        from ctcore.inference.backends.openvino_backend import import_openvino

        import_openvino()
    except ImportError as error:
        if backend == "openvino":
            raise RequestError(
                f"backend 'openvino' does not import ({error}); install openvino or use --backend torch"
            ) from error
        logger.warning("OpenVINO does not import (%s); PyTorch computes instead, more slowly", error)
        return "torch"
    return "openvino"


def _resolve_precision(precision: str, device: str) -> ExactPrecision:
    if device != "cpu":
        return "fp32" if precision == "fp32" else "bf16" if precision == "bf16" else "fp16"
    if precision == "fp16":
        raise RequestError(f"precision 'fp16' is for GPUs, not for '{device}'; use --precision bf16, fp32 or auto")
    if precision == "fp32":
        return "fp32"
    if cpu_has_bf16():
        return "bf16"
    if precision == "bf16":
        raise RequestError("precision 'bf16' is not among this processor's instructions; use --precision fp32 or auto")
    return "fp32"

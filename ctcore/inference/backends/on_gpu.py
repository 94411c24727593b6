"""A network on a GPU that goes on, more slowly, where the GPU's memory does not suffice."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from ctcore.errors import first_line
from ctcore.inference.backends.backend import Backend, ExactBackendName, ExactPrecision
from ctcore.inference.backends.torch_backend import TorchBackend

if TYPE_CHECKING:
    import torch

FLAG_OUT_OF_MEMORY = "gpu_out_of_memory"
"""Flag of every case that a network computed on the CPU because the GPU's memory did not suffice."""

_OUT_OF_MEMORY = ("out of memory", "status_alloc_failed")
"""What CUDA's libraries say of it where PyTorch's allocator is not asked, in lower case."""

T = TypeVar("T")
Outputs = dict[str, npt.NDArray[np.float32]]

logger = logging.getLogger(__name__)


class OnGpu:
    """A network computed by PyTorch on a GPU, by the CPU from where the GPU's memory does not suffice.

    Where memory runs out, what PyTorch holds for later is given back and the batch is tried again; then its halves
    are, and those of later batches (windows do not depend on one another, so that nothing changes but rounding); a
    single window that does not fit takes the network to the CPU for the rest of the run, and cases are flagged. A
    window is never cut: instance normalisation would see another image. Threads may share it: their calls come one
    after the other, so that a GPU's memory holds one batch.

    Args:
        module: the network; see `named_outputs` for what its `forward` may return.
        device: `cuda:N`.
        precision: `fp32`, `bf16` or `fp16`.
        to_cpu: makes the network ready for the CPU.
        deterministic: as `TorchBackend`; rounding still depends on whether memory sufficed.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        device: str,
        precision: ExactPrecision,
        to_cpu: Callable[[torch.nn.Module], Backend],
        *,
        deterministic: bool = False,
    ) -> None:
        self._module, self._device, self._to_cpu = module, device, to_cpu
        self._at_once: int | None = None
        self._lock = threading.Lock()
        self._on_cpu: Backend | None = None
        self._on_gpu: Backend | None = _unless_out_of_memory(
            lambda: TorchBackend(module, device, precision, deterministic=deterministic)
        )
        if self._on_gpu is None:
            self._move_to_cpu("its weights")

    @property
    def name(self) -> ExactBackendName:
        """The library that computes now."""
        return self._now.name

    @property
    def precision(self) -> ExactPrecision:
        """The arithmetic of the convolutions now."""
        return self._now.precision

    @property
    def flags(self) -> tuple[str, ...]:
        """`gpu_out_of_memory` once the CPU computes."""
        return () if self._on_cpu is None else (FLAG_OUT_OF_MEMORY,)

    def __call__(self, batch: npt.NDArray[np.float32]) -> Outputs:
        """Runs the network; see `Backend`."""
        with self._lock:
            return self._run(batch)

    def _run(self, batch: npt.NDArray[np.float32]) -> Outputs:
        if self._on_cpu is not None:
            return self._on_cpu(batch)
        length = len(batch)
        at_once = min(self._at_once or length, length)
        if at_once < length:
            parts = [self._run(batch[first : first + at_once]) for first in range(0, length, at_once)]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        answer = self._attempt(batch)
        if answer is not None:
            return answer
        if length > 1:
            self._at_once = length // 2
            logger.warning("%s has too little memory for %d windows at once: halves from here", self._device, length)
        else:
            self._move_to_cpu("one window")
        return self._run(batch)

    def _attempt(self, batch: npt.NDArray[np.float32]) -> Outputs | None:
        """Runs the network, and once more with all the memory that can be given back; None where that fails too."""
        for _ in range(2):
            answer = _unless_out_of_memory(lambda: self._now(batch))
            if answer is not None:
                return answer
            _give_back()
        return None

    @property
    def _now(self) -> Backend:
        backend = self._on_cpu or self._on_gpu
        if backend is None:
            raise RuntimeError("the network is on no device")  # only while it moves
        return backend

    def _move_to_cpu(self, what: str) -> None:
        logger.warning(
            "%s has too little memory for %s: the network goes on on the CPU, more slowly; end other programs that "
            "use the GPU, or run with --device cpu",
            self._device,
            what,
        )
        self._on_gpu = None
        self._on_cpu = self._to_cpu(self._module)
        _give_back()


def _unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """Returns what `work` returns, None where a GPU's memory does not suffice.

    The error ends here, and what it holds with it: memory that is to be given back must not be in use.
    """
    import torch

    try:
        return work()
    except torch.cuda.OutOfMemoryError as error:
        logger.info("out of memory: %s", first_line(error))
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        logger.info("out of memory: %s", first_line(error))
    return None


def _give_back() -> None:
    """Gives memory that PyTorch holds for later back to the GPU."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()

"""Networks computed by PyTorch, on a CPU or an NVIDIA GPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision, named_outputs

if TYPE_CHECKING:
    import torch


_CUDNN_FLAGS = threading.Lock()
"""cuDNN's flags belong to the whole process: threads that set and restore them in turn would leave each other's."""


class TorchBackend:
    """A network computed by PyTorch; threads may share it.

    Attributes:
        name: `torch`.
        precision: `fp32`, or the type that autocast uses for the convolutions.
        device: `cpu` or `cuda:N`.
        flags: none.
    """

    name: ExactBackendName = "torch"
    flags: tuple[str, ...] = ()

    def __init__(
        self,
        module: torch.nn.Module,
        device: str = "cpu",
        precision: ExactPrecision = "fp32",
        *,
        deterministic: bool = False,
    ) -> None:
        """Takes over a network: its weights move to `device`, as float32.

        Args:
            module: the network; see `named_outputs` for what its `forward` may return.
            device: `cpu` or `cuda:N`.
            precision: `fp32`, `bf16`, or (on a GPU) `fp16`. `fp32` is float32 throughout, without TF32.
            deterministic: whether a GPU's algorithms are chosen by rule, among those that always give the same bits,
                and not by trial. A CPU's bits depend on the number of threads, which belongs to the whole process.
        """
        import torch

        self.precision: ExactPrecision = precision
        self.device = device
        self._device_type = torch.device(device).type
        self._cuda = self._device_type == "cuda"
        self._deterministic = deterministic
        self._format = torch.channels_last_3d if self._cuda else torch.contiguous_format
        self._module = module.to(device=device, dtype=torch.float32).eval()
        if self._cuda:
            for submodule in self._module.modules():
                if isinstance(submodule, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
                    submodule.to(memory_format=torch.channels_last_3d)

    def __call__(self, batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the network; see `Backend`."""
        import torch

        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.inference_mode(), torch.autocast(self._device_type, dtype=half, enabled=self.precision != "fp32"):
            image = torch.from_numpy(batch).to(self.device, memory_format=self._format)
            if self._cuda:
                # Only for this call: the flags are global, and the caller's own work keeps its own.
                with (
                    _CUDNN_FLAGS,
                    torch.backends.cudnn.flags(
                        enabled=True,
                        benchmark=not self._deterministic,
                        deterministic=self._deterministic,
                        allow_tf32=self.precision != "fp32",
                    ),
                ):
                    outputs = named_outputs(self._module(image))
            else:
                outputs = named_outputs(self._module(image))
            # The GPU makes plain float32 of its answers; copied so, they arrive in page-locked memory, all at once.
            answer = {
                name: output.to(torch.float32, memory_format=torch.contiguous_format).to("cpu", non_blocking=True)
                for name, output in outputs.items()
            }
            if self._cuda:
                torch.cuda.current_stream(self.device).synchronize()
        arrays = {name: output.numpy() for name, output in answer.items()}
        return {name: a.copy() if np.may_share_memory(a, batch) else a for name, a in arrays.items()}

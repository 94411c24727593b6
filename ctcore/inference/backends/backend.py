"""What every backend offers, and the names of a network's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

SEGMENTATION = "segmentation"
"""Name of the segmentation logits (b, k, z, y, x)."""
CLASSES = "classes"
"""Name of the class logits (b, n), there only where the network has a classification head."""
FEATURES = "features"
"""Name of the pooled features (b, d), there only where the network gives them: what it makes of a window, in short."""

ExactPrecision = Literal["fp32", "bf16", "fp16"]
ExactBackendName = Literal["torch", "openvino"]


class Backend(Protocol):
    """A network ready to compute; several threads may call it."""

    @property
    def name(self) -> ExactBackendName:
        """The library that computes."""

    @property
    def precision(self) -> ExactPrecision:
        """The arithmetic of the convolutions; inputs and outputs are float32 whatever it is."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader of its latest answers must know; empty as long as all goes as it was chosen."""

    def __call__(self, batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the network.

        Args:
            batch: normalised windows (b, c, z, y, x).

        Returns:
            The outputs by name (`SEGMENTATION`, `CLASSES`, `FEATURES`), float32; new arrays that the caller may change.
        """


def flags_of(backends: Iterable[Backend]) -> tuple[str, ...]:
    """Returns the flags of several networks, each once."""
    return tuple(dict.fromkeys(flag for backend in backends for flag in backend.flags))


def named_outputs(answer: Any) -> dict[str, torch.Tensor]:
    """Returns what a network's `forward` gave as tensors by name, in a fixed order.

    Args:
        answer: the segmentation logits alone, or a mapping or NamedTuple with the fields `segmentation`,
            `classes` (None: no head) and `features` (None: not given); other fields are left out.

    Raises:
        TypeError: it is none of these.
    """
    import torch

    if isinstance(answer, torch.Tensor):
        return {SEGMENTATION: answer}
    fields = answer if isinstance(answer, Mapping) else answer._asdict() if hasattr(answer, "_asdict") else {}
    outputs = {name: fields[name] for name in (SEGMENTATION, CLASSES, FEATURES) if fields.get(name) is not None}
    if SEGMENTATION not in outputs or not all(isinstance(output, torch.Tensor) for output in outputs.values()):
        raise TypeError(
            f"the network's forward returned a {type(answer).__name__}; return the segmentation logits or named "
            f"tensors '{SEGMENTATION}', '{CLASSES}' and '{FEATURES}', and switch deep supervision off for inference"
        )
    return outputs

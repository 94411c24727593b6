"""Building a network that is no larger than its weights: a description from a stranger may ask for any number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ctcore.errors import BundleError, first_line

SPARE_ELEMENTS = 1 << 24
"""What a network may make beside the weights that are kept of it: 64 MiB of float32."""

_FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange})


class _AtMost(TorchFunctionMode):
    """Adds up the tensors that are made inside the block, and stops before one that is too many."""

    def __init__(self, elements: int) -> None:
        super().__init__()
        self._left = elements

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _FACTORIES:
            self._left -= _elements(args, kwargs or {})
            if self._left < 0:
                raise MemoryError
        return func(*args, **(kwargs or {}))


def _elements(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Returns how many numbers a tensor of these arguments has, or more."""
    size = kwargs.get("size", args)
    flat = [n for item in size for n in (item if isinstance(item, list | tuple | torch.Size) else (item,))]
    return math.prod(max(n, 0) for n in flat if isinstance(n, int))


def build_no_larger(build: Callable[[], torch.nn.Module], weights: Path) -> torch.nn.Module:
    """Builds a network whose weights are in a file.

    Args:
        build: builds it.
        weights: the safetensors file.

    Raises:
        BundleError: the file is damaged, or the network would have more weights than the file holds.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt") as file:
            held = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(f"'{weights}' cannot be read: {first_line(error)}; export or copy it again") from error
    try:
        with _AtMost(2 * held + SPARE_ELEMENTS):
            return build()
    except MemoryError as error:
        raise BundleError(
            f"'{weights}' does not fit its model: it holds {held} weights, and the description beside it asks for more;"
            " export or copy it again"
        ) from error

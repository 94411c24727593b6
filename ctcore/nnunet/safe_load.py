"""PyTorch's pickled files, opened without running anything that is in them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from ctcore.errors import CheckpointError, first_line

_REFUSED = re.compile(r"(?:GLOBAL|function) `?([\w.]+)")
"""How PyTorch names what it refuses to import or to call."""
_REASON = re.compile(r"WeightsUnpickler error:\s*(.+)")


def safe_load(path: Path) -> Any:
    """Reads a checkpoint on the CPU: tensors, plain values and NumPy's numbers, which nnU-Net's checkpoints hold.

    Raises:
        CheckpointError: the file is damaged, or needs anything else to be imported: nothing of it is run.
    """
    import torch

    try:
        with torch.serialization.safe_globals(allowed_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the form of files that are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file provokes nearly any of them
        refused = _REFUSED.search(str(error))
        if refused is not None:
            raise CheckpointError(
                f"'{path}' needs '{refused[1]}', which could run code: nothing of it was run; use a checkpoint that"
                " holds weights, plain values and NumPy's numbers alone"
            ) from error
        reason = _REASON.search(str(error))
        told = reason[1].strip() if reason else f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(
            f"'{path}' is not a checkpoint that can be read safely ({told}); copy it again"
        ) from error


def allowed_globals() -> list[Any]:
    """Returns what may be named beside PyTorch's own list: NumPy's numbers, under the names of both its versions."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    paths = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*((scalar, path) for path in paths), np.dtype, *dtypes]

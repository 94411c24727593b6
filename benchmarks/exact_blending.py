"""nnU-Net's predictor without its own rounding."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch


@contextlib.contextmanager
def blending_in_float32() -> Iterator[None]:
    """Has nnU-Net's predictor weigh and sum windows in float32 instead of float16."""
    import torch
    from nnunetv2.inference import predict_from_raw_data

    class Exact:
        half = torch.float32

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    weights = partial(predict_from_raw_data.compute_gaussian, dtype=torch.float32)
    with (
        patch.object(predict_from_raw_data, "torch", Exact()),
        patch.object(predict_from_raw_data, "compute_gaussian", weights),
    ):
        yield

"""The names of encoders: nnU-Net's own two, and timm's."""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import Any

NNUNET_ENCODERS = ("plain", "resenc")
"""nnU-Net's plain and residual encoder."""

TIMM_PREFIX = "timm:"
"""Begins the name of a 2-D encoder that timm builds."""


def timm_model_of(encoder: str) -> str | None:
    """Returns the name of timm's model in an encoder's name; None for nnU-Net's encoders."""
    return encoder.removeprefix(TIMM_PREFIX) if encoder.startswith(TIMM_PREFIX) else None


def check_encoder(encoder: str) -> str:
    """Returns an encoder's name if there is such an encoder.

    Raises:
        ValueError: there is none.
    """
    model = timm_model_of(encoder)
    if model is not None:
        check_timm_model(model)
    elif encoder not in NNUNET_ENCODERS:
        near = difflib.get_close_matches(encoder, NNUNET_ENCODERS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ValueError(f"{hint}choose {', '.join(NNUNET_ENCODERS)} or {TIMM_PREFIX}NAME")
    return encoder


def check_timm_model(model: str) -> None:
    """Checks that timm itself has a model of this name: its other sources (folders, the network) are not for us.

    Raises:
        ValueError: it has none; the nearest name is given.
    """
    known = import_timm().list_models()
    if model in known:
        return
    near = difflib.get_close_matches(model.partition(".")[0], known, n=1)
    hint = f"did you mean '{TIMM_PREFIX}{near[0]}'?" if near else "choose one of timm.list_models()"
    raise ValueError(f"'{model}' is not one of timm's models; {hint}")


def import_timm() -> Any:
    """Imports timm without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about timm's own use of torch
        return importlib.import_module("timm")

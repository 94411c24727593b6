"""A training's whole state in one file that is whole or not there, whenever the process is killed.

Names and keys are nnU-Net's, with the moving average added. Neither generators nor early stopping nor the schedule need
a place: each is a function of the epoch or of the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ctcore.durable import write_atomic
from ctcore.errors import CheckpointError, OutputError, first_line
from ctcore.nnunet.exported import unique_state

VERSION = 3
"""To be raised when a training could not go on from a checkpoint of the version before."""


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a state, complete or not at all.

    Raises:
        OutputError: it could not be written in full; what was there before still is.
    """
    try:
        write_atomic(path, lambda partial: torch.save({**state, "version": VERSION}, partial))
    except RuntimeError as error:  # what torch's writer raises on a full disk
        raise OutputError(
            f"'{path}' cannot be written: {first_line(error)}; free space on its disk, then run the same command again"
        ) from error


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads a state; only tensors and plain values, never code.

    Raises:
        CheckpointError: the file is damaged, holds something else, or is of another version.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged file provokes nearly any of them
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(f"'{path}' cannot be read ({reason}); train anew with --restart") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise CheckpointError(
            f"'{path}' is a checkpoint of version {version}, not {VERSION}: training cannot go on from it;"
            " train anew with --restart"
        )
    return dict(state)


def write_weights(path: Path, network: torch.nn.Module, prefix: str = "") -> None:
    """Writes a network's weights and buffers as safetensors, complete or not at all.

    Args:
        path: the file.
        network: a network, or a part of one.
        prefix: what stands before the part's names in the whole.

    Raises:
        OutputError: they could not be written in full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    state = {prefix + name: tensor for name, tensor in unique_state(network).items()}
    try:
        write_atomic(path, lambda partial: save_file(state, partial))
    except SafetensorError as error:
        raise OutputError(
            f"'{path}' cannot be written: {first_line(error)}; free space on its disk, then run the same command again"
        ) from error

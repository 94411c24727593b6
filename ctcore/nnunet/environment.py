"""nnU-Net's environment variables, set for as long as a call needs them and put back afterwards."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def nnunet_environment(
    workspace: Path, *, results: Path | None = None, augmentation_workers: int | None = None
) -> Iterator[None]:
    """Points nnU-Net at a workspace and keeps its chatter off the console.

    Args:
        workspace: folder that holds `raw` and `preprocessed`.
        results: where trainers write; `results` of the workspace if not given.
        augmentation_workers: background processes that augment during training; None for nnU-Net's own choice, which
            planning needs (it sets torch's thread count from the same variable, and 0 raises there).
    """
    values = {
        "nnUNet_raw": str(workspace / "raw"),
        "nnUNet_preprocessed": str(workspace / "preprocessed"),
        "nnUNet_results": str(results or workspace / "results"),
        "nnUNet_compile": "f",
        "PYTHONWARNINGS": "ignore",  # nnU-Net's background processes start with a fresh console
    }
    if augmentation_workers is not None:
        values["nnUNet_n_proc_DA"] = str(augmentation_workers)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about nnU-Net's own use of torch
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="nnunetv2")  # Dice of an absent label
            warnings.filterwarnings("ignore", message="WARNING: You are running nnUNetPlanner")  # memory as asked for
            # Weights of 1x1x1 convolutions have several memory layouts, all of them right.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

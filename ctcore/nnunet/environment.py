"""Environment variables of nnU-Net and MLflow, set for as long as a call needs them and put back afterwards."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
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
    with _variables(values), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about nnU-Net's own use of torch
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="nnunetv2")  # Dice of an absent label
        warnings.filterwarnings("ignore", message="WARNING: You are running nnUNetPlanner")  # memory as asked for
        # Weights of 1x1x1 convolutions have several memory layouts, all of them right.
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        yield


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keeps MLflow off the console, and from telling its makers of its use, which it does from its first import on.

    A server that does not answer is given up after seconds; MLflow would try for minutes.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    values = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }
    with _variables(values):
        yield


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""TensorBoard curves of a training, one value an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ctcore.nnunet.training.fold_files import CURVES_FOLDER


class Curves:
    """Writes a fold's curves; a resumed training continues them.

    Args:
        folder: the fold's folder; the curves go to `tensorboard` inside it.
        epoch: the epoch (counted from 0) that the training begins with: what an interrupted run had written of it and
            of later ones is not shown.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / CURVES_FOLDER), purge_step=epoch)

    def add(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Adds an epoch's figures; those that are NaN (the Dice of an absent label) are left out."""
        for name, value in figures.items():
            if not math.isnan(value):
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Ends writing."""
        self._writer.close()

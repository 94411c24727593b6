"""nnU-Net's trainer on any device, with all its state in one file: a run that is killed goes on from its last epoch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from ctcore.errors import CheckpointError, first_line
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.checkpoint import read_checkpoint, write_checkpoint
from ctcore.nnunet.training.distributed import bare
from ctcore.nnunet.training.moving_average import MovingAverage

CPU = torch.device("cpu")


class ResumableTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's trainer, its state and where its files go.

    Attributes:
        recipe: hyper-parameters.
        ema: moving average of the weights, where the recipe has one.
        figures: this epoch's figures beside those of nnU-Net's log, by the names of their curves.
        best_epoch: the best epoch so far (counted from 0).
    """

    recipe: TrainingRecipe
    ema: MovingAverage | None = None
    figures: dict[str, float]
    current_epoch: int
    num_epochs: int
    best_epoch: int | None = None
    _best_ema: float | None

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = CPU,
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of several processes nnU-Net thinks that each has a GPU
            super().__init__(plans, configuration, fold, dataset_json, device)
        self.device = device  # nnU-Net would take the first GPU, or the one with the number of the rank
        self.figures = {}

    @property
    def folder(self) -> Path:
        """The fold's folder."""
        return Path(self.output_folder)

    @property
    def is_leader(self) -> bool:
        """Whether this process writes the files; nnU-Net's `local_rank` is the rank among all."""
        return bool(self.local_rank == 0)

    @property
    def module(self) -> Any:
        """The network itself, whether or not its gradients are averaged over processes."""
        return bare(self.network)

    def trained_network(self) -> nn.Module:
        """Returns the network that inference should use: the moving average where there is one."""
        network: nn.Module = self.ema.module if self.ema is not None else self.module
        return network

    def print_to_log_file(self, *args: Any, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """Writes to nnU-Net's log file only; the console belongs to the progress bar."""
        super().print_to_log_file(*args, also_print_to_console=False, add_timestamp=add_timestamp)

    def save_checkpoint(self, filename: str) -> None:
        """Writes all the state there is at the end of an epoch, complete or not at all; the leader's task alone."""
        if not self.is_leader or self.disable_checkpointing:
            return
        scaler = self.grad_scaler
        state = {
            "network_weights": self.module.state_dict(),
            "moving_average": self.ema.module.state_dict() if self.ema is not None else None,
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": scaler.state_dict() if scaler is not None else None,
            "logging": self.logger.get_checkpoint(),
            "_best_ema": self._best_ema,
            "best_epoch": self.best_epoch,
            "current_epoch": self.current_epoch + 1,
            "further": self.further_state(),
            "init_args": self.my_init_kwargs,
            "trainer_name": type(self).__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }
        write_checkpoint(Path(filename), state)

    def further_state(self) -> dict[str, torch.Tensor]:
        """Returns what a subclass trains beside the network."""
        return {}

    def load_further_state(self, state: dict[str, torch.Tensor]) -> None:
        """Takes back what `further_state` gave."""

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Goes on from a checkpoint.

        Raises:
            CheckpointError: it is damaged, of another version, or of another network.
        """
        if not self.was_initialized:
            self.initialize()
        path = Path(filename_or_checkpoint)
        state = read_checkpoint(path, self.device)
        try:
            self.module.load_state_dict(state["network_weights"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["moving_average"])
            self.optimizer.load_state_dict(state["optimizer_state"])
            if self.grad_scaler is not None and state["grad_scaler_state"] is not None:
                self.grad_scaler.load_state_dict(state["grad_scaler_state"])
            self.logger.load_checkpoint(state["logging"])
            self.load_further_state(state["further"])
            self._best_ema, self.best_epoch = state["_best_ema"], state["best_epoch"]
            self.current_epoch = state["current_epoch"]
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"'{path}' is of another network or recipe: {first_line(error)}; train anew with --restart"
            ) from error

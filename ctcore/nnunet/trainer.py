"""nnU-Net's trainer, driven by a recipe instead of class attributes.

Data loading, augmentation, deep supervision, losses, logging and checkpoints stay nnU-Net's. What changes:
hyper-parameters come from a recipe; on a CPU with bf16 the network runs under autocast; timm keeps an exponential
moving average of the weights; checkpoints are written whole or not at all; progress goes to a callback.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.loss.dice import get_tp_fp_fn_tn
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from ctcore.files import write_atomic
from ctcore.nnunet.augmentation import light_transforms
from ctcore.nnunet.losses import weigh_terms
from ctcore.nnunet.recipe import TrainingRecipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # about timm's own use of torch
    from timm.utils.model_ema import ModelEmaV3

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with epochs done, epochs in all, and the epoch's figures."""

NUMPY_SCALAR = type(np.float64(0)).__reduce__(np.float64(0))[0]
"""The function by which a pickled numpy scalar is made again; numpy keeps it in a private module."""

CHECKPOINT_TYPES: list[Any] = [
    np.dtype,
    (NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
]
"""What nnU-Net's checkpoints hold beside tensors and plain values: the logger's numpy scalars."""


def cpu_has_bf16() -> bool:
    """Tells whether this processor computes bfloat16 natively (AVX-512 BF16 or AMX)."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class RecipeTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's trainer with the recipe's hyper-parameters.

    `configure` must be called before `run_training`; the constructor's signature is nnU-Net's, which it inspects.
    """

    recipe: TrainingRecipe
    progress: Progress | None = None
    ema: ModelEmaV3 | None = None

    def configure(self, recipe: TrainingRecipe, progress: Progress | None = None) -> None:
        """Takes over a recipe's hyper-parameters."""
        self.recipe = recipe
        self.progress = progress
        self.initial_lr = recipe.learning_rate
        self.weight_decay = recipe.weight_decay
        self.oversample_foreground_percent = recipe.oversample_foreground
        self.num_iterations_per_epoch = recipe.iterations_per_epoch
        self.num_val_iterations_per_epoch = recipe.validation_iterations
        self.num_epochs = recipe.epochs
        self.save_every = 1
        torch.manual_seed(recipe.seed)
        np.random.seed(recipe.seed)  # noqa: NPY002 - nnU-Net's loaders draw from this generator

    def initialize(self) -> None:
        """Builds network, optimiser and loss, and the moving average if the recipe has one."""
        super().initialize()
        # Convolutions of small networks run about a fifth faster with the channels innermost.
        self.network.to(memory_format=torch.channels_last_3d)
        if self.recipe.ema_decay is not None:
            self.ema = ModelEmaV3(self.network, decay=self.recipe.ema_decay, use_warmup=True)

    def _build_loss(self) -> nn.Module:
        """Returns the recipe's segmentation loss under nnU-Net's deep supervision."""
        return weigh_terms(super()._build_loss(), self.recipe.segmentation_loss)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Returns the recipe's optimiser and learning-rate schedule."""
        recipe = self.recipe
        parameters = self.network.parameters()
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, momentum=0.99, nesterov=True
            )
        elif recipe.optimizer == "adam":
            optimizer = torch.optim.Adam(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
        else:
            optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
        if recipe.schedule == "poly":
            return optimizer, PolyLRScheduler(optimizer, recipe.learning_rate, recipe.epochs)
        return optimizer, EpochSchedule(optimizer, recipe)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802 - nnU-Net's name
        self,
    ) -> tuple[Any, bool, Any, Any]:
        """Returns nnU-Net's rotation range and initial patch size; mirroring as the recipe says."""
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if not self.recipe.mirror:
            mirror_axes = ()
            self.inference_allowed_mirroring_axes = ()
        return rotation, dummy_2d, initial_patch_size, mirror_axes

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """Returns nnU-Net's augmentation, or the recipe's lighter one."""
        transforms = super().get_training_transforms(*args, **kwargs)
        return light_transforms(transforms) if self.recipe.augmentation == "light" else transforms

    def print_to_log_file(self, *args: Any, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """Writes to nnU-Net's log file only; the console belongs to the progress bar."""
        super().print_to_log_file(*args, also_print_to_console=False, add_timestamp=add_timestamp)

    def plot_network_architecture(self) -> None:
        """Does nothing: nnU-Net's plot needs a package that is not published."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns mixed precision for this device: fp16 on CUDA, bf16 on a CPU that has it."""
        if self.device.type == "cuda":
            return torch.autocast("cuda")
        if self.device.type == "cpu" and cpu_has_bf16():
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    def batch_losses(self, data: torch.Tensor, target: Any, keys: Any) -> dict[str, torch.Tensor]:
        """Returns named losses of a batch; `loss` is the one to minimise.

        Args:
            data: images (b, c, z, y, x) on the device.
            target: label maps (b, 1, z, y, x), a list from fine to coarse under deep supervision.
            keys: case ids of the batch.
        """
        del keys
        with self.autocast():
            output = self.network(data)
        return {"loss": self.loss(full_precision(output), target)}

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Takes one optimiser step; returns the named losses as numbers."""
        data, target = self.to_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.batch_losses(data, target, batch["keys"])
        loss = losses["loss"]
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"loss is {loss.item()} in epoch {self.current_epoch} on cases {list(batch['keys'])}"
            )
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        if self.grad_scaler is not None:
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(parameters, self.recipe.gradient_clip)
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, self.recipe.gradient_clip)
            self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.network, step=self._steps_done())
        return {name: float(value.detach()) for name, value in losses.items()}

    def validation_outputs(
        self, data: torch.Tensor, target: Any, keys: Any
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Returns a validation batch's loss, its finest segmentation logits (b, k, z, y, x), and other records."""
        del keys
        with self.autocast():
            output = full_precision(self.trained_network()(data))
        return self.loss(output, target), finest(output), {}

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the loss and the true positives, false positives and false negatives of every foreground label."""
        data, target = self.to_device(batch)
        loss, logits, extra = self.validation_outputs(data, target, batch["keys"])
        predicted = torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)
        axes = [0, *range(2, logits.ndim)]
        counts = get_tp_fp_fn_tn(predicted, finest(target), axes=axes)[:3]
        names = ("tp_hard", "fp_hard", "fn_hard")
        hard = {name: count[1:].cpu().numpy() for name, count in zip(names, counts, strict=True)}
        return {"loss": loss.cpu().numpy()} | hard | extra

    def _steps_done(self) -> int:
        self._step = getattr(self, "_step", self.current_epoch * self.num_iterations_per_epoch) + 1
        return int(self._step)

    def to_device(self, batch: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """Moves a batch's images and label maps to the device."""
        data = batch["data"].to(self.device, non_blocking=True, memory_format=torch.channels_last_3d)
        target = batch["target"]
        if isinstance(target, list):
            return data, [t.to(self.device, non_blocking=True) for t in target]
        return data, target.to(self.device, non_blocking=True)

    def on_epoch_end(self) -> None:
        """Logs, writes checkpoints, and reports the epoch's figures."""
        epoch = self.current_epoch
        super().on_epoch_end()
        if self.progress is not None:
            figures = {
                "train": float(self.logger.get_value("train_losses", step=-1)),
                "val": float(self.logger.get_value("val_losses", step=-1)),
                "dice": float(self.logger.get_value("mean_fg_dice", step=-1)),
            }
            self.progress(epoch + 1, self.num_epochs, figures | self.extra_figures())

    def extra_figures(self) -> dict[str, float]:
        """Returns further figures of the epoch that just ended."""
        return {}

    def trained_network(self) -> nn.Module:
        """Returns the network that inference should use: the moving average where there is one."""
        network: nn.Module = self.ema.module if self.ema is not None else self.network
        return network

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Goes on from a checkpoint; only tensors and plain values are read from it, never code."""
        if not self.was_initialized:
            self.initialize()
        path = Path(filename_or_checkpoint)
        with torch.serialization.safe_globals(CHECKPOINT_TYPES):
            checkpoint = torch.load(path, map_location=self.device, weights_only=True)
            if self.ema is not None:
                self.ema.module.load_state_dict(torch.load(path.with_suffix(".ema"), self.device, weights_only=True))
        self.network.load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None and checkpoint["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.current_epoch = checkpoint["current_epoch"]
        self.logger.load_checkpoint(checkpoint["logging"])
        self._best_ema = checkpoint["_best_ema"]

    def save_checkpoint(self, filename: str) -> None:
        """Writes nnU-Net's checkpoint plus the moving average, complete or not at all."""

        def write_to(partial: Path) -> None:
            super(RecipeTrainer, self).save_checkpoint(str(partial))

        write_atomic(Path(filename), write_to)
        if self.ema is not None:
            state = self.ema.module.state_dict()
            write_atomic(Path(filename).with_suffix(".ema"), lambda partial: torch.save(state, partial))


class EpochSchedule:
    """Learning rate as a pure function of the epoch, with the `step(epoch)` that nnU-Net calls."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: TrainingRecipe) -> None:
        self.optimizer = optimizer
        self.recipe = recipe

    def step(self, epoch: int) -> None:
        """Sets the rate of `epoch` in every parameter group."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, epoch)


def learning_rate(recipe: TrainingRecipe, epoch: int) -> float:
    """Returns the `cosine` or `step` schedule's rate at an epoch (counted from 0)."""
    if recipe.schedule == "step":
        return float(recipe.learning_rate * 0.1 ** (epoch // recipe.step_epochs))
    return float(recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs)))


def finest(output: Any) -> Any:
    """Returns the finest of deep supervision's outputs or targets."""
    return output[0] if isinstance(output, list | tuple) else output


def full_precision(output: Any) -> Any:
    """Returns network outputs in float32, in which losses are computed."""
    if isinstance(output, list | tuple):
        return [tensor.float() for tensor in output]
    return output.float()

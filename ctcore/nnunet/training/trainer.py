"""nnU-Net's trainer, driven by a recipe instead of class attributes.

Datasets, augmentation, deep supervision, losses, log and plot stay nnU-Net's. What changes: hyper-parameters come from
a recipe; timm keeps a moving average of the weights; batches are functions of the recipe's seed; the network
computes in mixed precision on CPUs too, and in several processes. `epochs.py` has the course of a run.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from torch import nn

from ctcore.errors import RequestError, TrainingError
from ctcore.nnunet.networks import build_unet
from ctcore.nnunet.recipe import TrainingRecipe
from ctcore.nnunet.training.augmentation import light_transforms, repeatable_transforms
from ctcore.nnunet.training.batches import Batches, NumberedBatches, find_thread_pools_once
from ctcore.nnunet.training.distributed import data_parallel, rank_and_size
from ctcore.nnunet.training.epochs import EpochTrainer, Progress
from ctcore.nnunet.training.figures import hard_counts
from ctcore.nnunet.training.instance_norm import keep_channels_innermost
from ctcore.nnunet.training.losses import change_loss, leave_out_coarsest
from ctcore.nnunet.training.moving_average import MovingAverage
from ctcore.nnunet.training.optimisation import EpochSchedule, make_optimizer
from ctcore.nnunet.training.precision import Precision, autocast, compute_type, full_precision, gradient_scaler
from ctcore.nnunet.training.seeds import Purpose, seed_generators


class RecipeTrainer(EpochTrainer):
    """nnU-Net's trainer with the recipe's hyper-parameters.

    `configure` must be called before `run_training`; the constructor's signature is nnU-Net's, which it inspects.

    Attributes:
        parts_may_rest: whether there are epochs in which some weights have no part in the loss.
    """

    parts_may_rest = False

    def configure(
        self,
        recipe: TrainingRecipe,
        progress: Progress | None = None,
        *,
        workers: int = 0,
        precision: Precision = "auto",
    ) -> None:
        """Takes over a recipe's hyper-parameters.

        Args:
            recipe: hyper-parameters.
            progress: called after every epoch.
            workers: processes that load and augment; the batches do not depend on their number.
            precision: what the network computes in.

        Raises:
            RequestError: the device cannot train in this precision.
        """
        self.recipe = recipe
        self.progress = progress
        self.workers = workers
        self.compute_type = compute_type(self.device, precision)
        self.grad_scaler = gradient_scaler(self.compute_type)
        self._in_float32 = False
        self.initial_lr = recipe.learning_rate
        self.weight_decay = recipe.weight_decay
        self.oversample_foreground_percent = recipe.oversample_foreground
        self.num_iterations_per_epoch = recipe.iterations_per_epoch
        self.num_val_iterations_per_epoch = recipe.validation_iterations
        self.num_epochs = recipe.epochs

    @property
    def channels_innermost(self) -> torch.memory_format:
        """The order in memory of images (b, c, [z,] y, x): as many axes as the plan's patch has."""
        is_2d = len(self.configuration_manager.patch_size) == 2
        return torch.channels_last if is_2d else torch.channels_last_3d

    def build_network_architecture(
        self,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> Any:
        """Returns the plan's U-Net."""
        del plans_manager
        return build_unet(
            configuration_manager.configuration["architecture"],
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    def facts(self) -> dict[str, str]:
        """Returns what this run trains on and with, by name."""
        return super().facts() | {"precision": str(self.compute_type).removeprefix("torch.")}

    def initialize(self) -> None:
        """Builds network, optimiser and loss, and the moving average if the recipe has one.

        Raises:
            RecipeError: the weights that the encoder should begin with cannot be used.
            RequestError: the batch has fewer patches than there are processes.
        """
        (_, processes), patches = rank_and_size(), self.configuration_manager.batch_size
        if patches < processes:
            raise RequestError(f"a batch of {patches} cannot be divided among {processes} processes; start fewer")
        seed_generators(Purpose.WEIGHTS, self.recipe.seed)
        self._set_batch_size_and_oversample()
        self.num_input_channels = determine_num_input_channels(
            self.plans_manager, self.configuration_manager, self.dataset_json
        )
        network = self.build_network_architecture(
            self.plans_manager,
            self.configuration_manager,
            self.num_input_channels,
            self.label_manager.num_segmentation_heads,
            self.enable_deep_supervision,
        )
        if self.recipe.encoder_weights is not None:
            network.encoder.load_pretrained(self.recipe.encoder_weights)
        # Convolutions of small networks run faster with the channels innermost.
        self.network = network.to(self.device).to(memory_format=self.channels_innermost)
        keep_channels_innermost(self.network)
        self.optimizer, self.lr_scheduler = self.configure_optimizers()
        if self.recipe.ema_decay is not None:
            self.ema = MovingAverage(self.network, decay=self.recipe.ema_decay, use_warmup=True)
        self.loss = self._build_loss()
        if self.is_ddp:
            leave_out_coarsest(self.loss, self.network)
            self.network = data_parallel(self.network, self.device, parts_may_rest=self.parts_may_rest)
        self.dataset_class = infer_dataset_class(self.preprocessed_dataset_folder)
        self.was_initialized = True

    def _build_loss(self) -> nn.Module:
        """Returns the recipe's segmentation loss under nnU-Net's deep supervision."""
        return change_loss(super()._build_loss(), self.recipe.segmentation_loss)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Returns the recipe's optimiser and learning-rate schedule."""
        optimizer = make_optimizer(self.network.parameters(), self.recipe)
        return optimizer, EpochSchedule(optimizer, self.recipe)

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
        transforms = repeatable_transforms(super().get_training_transforms(*args, **kwargs))
        return light_transforms(transforms) if self.recipe.augmentation == "light" else transforms

    def get_dataloaders(self) -> tuple[Batches, Batches]:
        """Returns nnU-Net's batches for training and validation, from the current epoch on."""
        find_thread_pools_once()
        rank, _ = rank_and_size()
        purposes = (Purpose.TRAINING_BATCH, Purpose.VALIDATION_BATCH)
        an_epoch = (self.num_iterations_per_epoch, self.num_val_iterations_per_epoch)
        workers = (self.workers, (self.workers + 1) // 2)  # nnU-Net's division
        loaders = [made.data_loader for made in super().get_dataloaders()]
        self.change_sampling(loaders[0])
        training, validation = (
            Batches(
                NumberedBatches(loader, purpose, self.recipe.seed, rank),
                first=self.current_epoch * batches,
                stop=self.num_epochs * batches,
                workers=number,
                pin_memory=self.device.type == "cuda",
            )
            for loader, purpose, batches, number in zip(loaders, purposes, an_epoch, workers, strict=True)
        )
        return training, validation

    def change_sampling(self, loader: Any) -> None:
        """Changes what nnU-Net's data loader draws for training; nothing here."""

    def plot_network_architecture(self) -> None:
        """Does nothing: nnU-Net's plot needs a package that is not published."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns a block of mixed precision, of float32 in the first steps of a recipe that asks for it."""
        full = self._in_float32 or self.steps_done() < self.recipe.fp32_steps
        return autocast(self.device, torch.float32 if full else self.compute_type)

    def steps_done(self) -> int:
        """Returns how many steps the run has taken, those before it was continued included."""
        self._steps = getattr(self, "_steps", self.current_epoch * self.num_iterations_per_epoch)
        return int(self._steps)

    def batch_losses(self, data: torch.Tensor, target: Any, keys: Any) -> dict[str, torch.Tensor]:
        """Returns named losses of a batch; `loss` is the one to minimise.

        Args:
            data: images (b, c, [z,] y, x) on the device.
            target: label maps (b, 1, [z,] y, x), a list from fine to coarse under deep supervision.
            keys: case ids of the batch.
        """
        del keys
        with self.autocast():
            output = self.network(data)
        return {"loss": self.loss(full_precision(output), target)}

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Takes one optimiser step; returns the named losses as numbers.

        Raises:
            TrainingError: the loss is not finite; the cases are named.
        """
        data, target = self.to_device(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.finite_losses(data, target, batch["keys"])
        loss = losses["loss"]
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        if self.grad_scaler is not None:
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
        else:
            loss.backward()
        self.after_backward()
        nn.utils.clip_grad_norm_(parameters, self.recipe.gradient_clip)
        if self.grad_scaler is not None:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            self.optimizer.step()
        self._steps = self.steps_done() + 1
        if self.ema is not None:
            self.ema.update(self.module, step=self._steps)
        return {name: float(value.detach()) for name, value in losses.items()}

    def finite_losses(self, data: torch.Tensor, target: Any, keys: Any) -> dict[str, torch.Tensor]:
        """Returns a batch's losses, computed again in float32 where the recipe says so and they are not finite.

        Raises:
            TrainingError: they are not finite still.
        """
        losses = self.batch_losses(data, target, keys)
        if torch.isfinite(losses["loss"]):
            return losses
        if self.recipe.repeat_in_fp32 and self.compute_type is not torch.float32:
            self._in_float32 = True
            losses = self.batch_losses(data, target, keys)
            self._in_float32 = False
            if torch.isfinite(losses["loss"]):
                self.print_to_log_file(f"Step {self.steps_done()} repeated in float32: {list(keys)}")
                return losses
        raise TrainingError(
            f"the loss is {losses['loss'].item()} in epoch {self.current_epoch} on cases {', '.join(map(str, keys))};"
            " check their images for values that are not finite, or lower learning_rate"
        )

    def after_backward(self) -> None:
        """Is called when the gradients are there, before they are clipped."""

    def validation_outputs(
        self, data: torch.Tensor, target: Any, keys: Any
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Returns a validation batch's loss, its finest segmentation logits (b, k, [z,] y, x), further numbers."""
        del keys
        with self.autocast():
            output = full_precision(self.trained_network()(data))
        return self.loss(output, target), finest(output), {}

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the loss and the true positives, false positives and false negatives of every foreground label."""
        data, target = self.to_device(batch)
        loss, logits, further = self.validation_outputs(data, target, batch["keys"])
        return {"loss": float(loss)} | hard_counts(logits, finest(target)) | further

    def to_device(self, batch: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """Moves a batch's images and label maps to the device."""
        data = batch["data"].to(self.device, non_blocking=True, memory_format=self.channels_innermost)
        target = batch["target"]
        if isinstance(target, list):
            return data, [t.to(self.device, non_blocking=True) for t in target]
        return data, target.to(self.device, non_blocking=True)


def finest(output: Any) -> Any:
    """Returns the finest of deep supervision's outputs or targets."""
    return output[0] if isinstance(output, list | tuple) else output

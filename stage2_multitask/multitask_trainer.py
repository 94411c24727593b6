"""nnU-Net's trainer with a second task: the patient's class from the patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ctcore.errors import LabelError
from ctcore.nnunet.trainer import RecipeTrainer, finest, full_precision
from stage2_multitask.losses import classification_loss
from stage2_multitask.network import MultiTaskNetwork, MultiTaskOutput, build_network
from stage2_multitask.recipe import MultiTaskRecipe
from stage2_multitask.schedule import Phase, phase_of


class MultiTaskTrainer(RecipeTrainer):
    """Trains segmentation and classification in the recipe's three phases.

    Attributes:
        case_classes: index of every case's class; set before training.
    """

    recipe: MultiTaskRecipe
    network: MultiTaskNetwork
    case_classes: dict[str, int]
    phase: Phase = Phase.SEGMENTATION

    def build_network_architecture(
        self,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Returns nnU-Net's encoder and decoder with the recipe's head."""
        del plans_manager, num_input_channels
        architecture = configuration_manager.configuration["architecture"]
        return build_network(
            architecture,
            num_output_channels,
            len(self.recipe.class_names),
            self.recipe.head,
            deep_supervision=enable_deep_supervision,
        )

    def on_train_epoch_start(self) -> None:
        """Freezes what does not train in this epoch's phase."""
        super().on_train_epoch_start()
        self.phase = phase_of(self.current_epoch, self.num_epochs, self.recipe.phases)
        freeze(self.network, self.phase)
        self._class_records: list[tuple[int, float]] = []

    def batch_losses(self, data: torch.Tensor, target: Any, keys: Sequence[str]) -> dict[str, torch.Tensor]:
        """Returns `loss` and, by phase, its parts `segmentation` and `classification`."""
        if self.phase is Phase.SEGMENTATION:
            with self.autocast():
                segmentation = self.network.decoder(self.network.encoder(data))
            return {"loss": self.loss(full_precision(segmentation), target)}
        classes = self.class_targets(keys)
        if self.phase is Phase.HEAD:
            with self.autocast():
                with torch.no_grad():
                    features = self.network.encoder(data)
                logits = self.network.head(features)
            return {"loss": classification_loss(logits.float(), classes, self.recipe.class_weights)}
        with self.autocast():
            output: MultiTaskOutput = self.network(data)
        segmentation_loss = self.loss(full_precision(output.segmentation), target)
        class_loss = classification_loss(output.classes.float(), classes, self.recipe.class_weights)
        loss = segmentation_loss + self.recipe.classification_weight * class_loss
        return {"loss": loss, "segmentation": segmentation_loss, "classification": class_loss}

    def validation_outputs(
        self, data: torch.Tensor, target: Any, keys: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Returns segmentation loss and logits; collects the probability of the last class for the AUROC."""
        module = self.trained_network()
        with self.autocast():
            output: MultiTaskOutput = module(data)
        segmentation = full_precision(output.segmentation)
        probability = output.classes.float().softmax(1)[:, -1]
        for key, value in zip(keys, probability.tolist(), strict=True):
            self._class_records.append((self.case_classes[str(key)], value))
        return self.loss(segmentation, target), finest(segmentation), {}

    def extra_figures(self) -> dict[str, float]:
        """Returns the validation patches' AUROC of the last class against the others."""
        last = len(self.recipe.class_names) - 1
        positive = [value for index, value in self._class_records if index == last]
        negative = [value for index, value in self._class_records if index != last]
        if not positive or not negative:
            return {}
        wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
        return {"auroc": wins / (len(positive) * len(negative))}

    def class_targets(self, keys: Sequence[str]) -> torch.Tensor:
        """Returns the true classes (b,) of a batch.

        Raises:
            LabelError: a case has no class.
        """
        missing = [str(key) for key in keys if str(key) not in self.case_classes]
        if missing:
            raise LabelError(f"case '{missing[0]}' has no class; add its row to 'case_labels.csv'")
        return torch.tensor([self.case_classes[str(key)] for key in keys], device=self.device)


def freeze(network: MultiTaskNetwork, phase: Phase) -> None:
    """Lets only what trains in a phase receive gradients; frozen parts leave training mode."""
    trains_body = phase is not Phase.HEAD
    trains_head = phase is not Phase.SEGMENTATION
    for module, trains in ((network.encoder, trains_body), (network.decoder, trains_body), (network.head, trains_head)):
        module.train(trains)
        for parameter in module.parameters():
            parameter.requires_grad_(trains)
            if not trains:
                parameter.grad = None

"""nnU-Net's trainer with a second task: the patient's class from the patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ctcore.errors import LabelError
from ctcore.nnunet.training.distributed import gather
from ctcore.nnunet.training.precision import full_precision
from ctcore.nnunet.training.trainer import RecipeTrainer, finest
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
    parts_may_rest = True
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
        freeze(self.module, self.phase)
        self._class_records: list[tuple[int, float]] = []

    def batch_losses(self, data: torch.Tensor, target: Any, keys: Sequence[str]) -> dict[str, torch.Tensor]:
        """Returns `loss` and, by phase, its parts `segmentation` and `classification`."""
        # Always through the network's own call: it is where the processes of a distributed training meet.
        with self.autocast():
            output: MultiTaskOutput = self.network(
                data, segment=self.phase is not Phase.HEAD, classify=self.phase is not Phase.SEGMENTATION
            )
        if self.phase is Phase.SEGMENTATION:
            return {"loss": self.loss(full_precision(output.segmentation), target)}
        class_loss = self.class_loss(output.classes, keys)
        if self.phase is Phase.HEAD:
            return {"loss": class_loss}
        segmentation_loss = self.loss(full_precision(output.segmentation), target)
        loss = segmentation_loss + self.recipe.classification_weight * class_loss
        return {"loss": loss, "segmentation": segmentation_loss, "classification": class_loss}

    def class_loss(self, logits: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        """Returns the classification loss of a batch's logits (b, n)."""
        return classification_loss(logits.float(), self.class_targets(keys), self.recipe.class_weights)

    def validation_outputs(
        self, data: torch.Tensor, target: Any, keys: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Returns segmentation loss, logits and the class loss; keeps the last class's probability for the AUROC."""
        module = self.trained_network()
        with self.autocast():
            output: MultiTaskOutput = module(data)
        segmentation = full_precision(output.segmentation)
        probability = output.classes.float().softmax(1)[:, -1]
        for key, value in zip(keys, probability.tolist(), strict=True):
            self._class_records.append((self.case_classes[str(key)], value))
        further = {"classification": float(self.class_loss(output.classes, keys))}
        return self.loss(segmentation, target), finest(segmentation), further

    def first_decisive_epoch(self) -> int:
        """Returns the last phase's first epoch: before, the Dice is not what the epochs are for."""
        phases = [phase_of(epoch, self.num_epochs, self.recipe.phases) for epoch in range(self.num_epochs)]
        return self.num_epochs if phases[-1] is Phase.HEAD else phases.index(phases[-1])

    def extra_figures(self) -> dict[str, float]:
        """Returns the validation patches' AUROC of the last class against the others."""
        last = len(self.recipe.class_names) - 1
        records = [record for records in gather(self._class_records) for record in records]
        positive = [value for index, value in records if index == last]
        negative = [value for index, value in records if index != last]
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

"""nnU-Net's trainer with a second task: the patient's class from the patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ctcore.errors import LabelError
from ctcore.evaluation.statistics.roc import auroc
from ctcore.evaluation.statistics.statistic import point
from ctcore.inference.slices import for_windows
from ctcore.nnunet.training.checkpoint import write_weights
from ctcore.nnunet.training.distributed import average_gradients, gather, rank_and_size
from ctcore.nnunet.training.fold_files import BEST_HEAD_WEIGHTS_NAME
from ctcore.nnunet.training.precision import full_precision
from ctcore.nnunet.training.sampling import centre_on, draw_cases
from ctcore.nnunet.training.trainer import RecipeTrainer, finest
from stage2_multitask.balance import LEAST_SEGMENTATION_LOSS, LossBalance
from stage2_multitask.case_validation import CRITERIA, NOTHING, CaseValidation, Finest, NetworkInTraining, quality_of
from stage2_multitask.class_frequencies import class_priors
from stage2_multitask.class_loss import ClassLoss, count_classes
from stage2_multitask.cohort import cohort_figures
from stage2_multitask.heads.region_labels import Regions, regions_of
from stage2_multitask.losses import MISSING_CLASS
from stage2_multitask.network import MultiTaskNetwork, MultiTaskOutput, build_network
from stage2_multitask.patch_weights import held_shares, label_totals, patch_weights
from stage2_multitask.recipe import MultiTaskRecipe
from stage2_multitask.sampling import balanced_probabilities
from stage2_multitask.schedule import Phase, phase_of

BEST_MACRO_F1 = "best_macro_f1"
"""Key of the checkpoint."""


class MultiTaskTrainer(RecipeTrainer):
    """Trains segmentation and classification in the recipe's three phases.

    Attributes:
        case_classes: index of every case's class; set before training.
    """

    recipe: MultiTaskRecipe
    parts_may_rest = True
    case_classes: dict[str, int]
    phase: Phase = Phase.SEGMENTATION
    best_macro_f1: float = NOTHING

    def build_network_architecture(
        self,
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """Returns nnU-Net's encoder and decoder with the recipe's head."""
        del plans_manager, num_input_channels, num_output_channels
        return build_network(
            configuration_manager.configuration["architecture"],
            configuration_manager.patch_size,
            self.recipe.labels,
            self.recipe.lesions,
            len(self.recipe.class_names),
            self.recipe.head,
            deep_supervision=enable_deep_supervision,
        )

    def initialize(self) -> None:
        """Builds network, optimiser and losses for this fold's training cases.

        Raises:
            DatasetError: a class has no training case in this fold.
            LabelError: a case has no class, and the recipe does not mask it.
        """
        training, validation = self.do_split()
        if self.recipe.class_loss.missing == "refuse":
            self.class_targets([*training, *validation])
        classes = [self.class_of(key) for key in training]
        self.class_counts = count_classes(classes, len(self.recipe.class_names))
        self.class_loss = ClassLoss(self.recipe.class_loss, self.recipe.class_names, self.class_counts)
        least = LEAST_SEGMENTATION_LOSS[self.recipe.segmentation_loss]
        self.balance = LossBalance(self.recipe.balance, least).to(self.device)
        super().initialize()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Returns the recipe's optimiser, which also learns the balance where that is learned, and its schedule."""
        optimizer, schedule = super().configure_optimizers()
        learned = list(self.balance.parameters())
        if learned:  # not decayed: a log-variance of 0 is no better than another
            optimizer.add_param_group({"params": learned, "weight_decay": 0.0})
        return optimizer, schedule

    def after_backward(self) -> None:
        """Averages the balance's gradients over the processes: it is not part of the network."""
        average_gradients(self.balance.parameters())

    def further_state(self) -> dict[str, torch.Tensor]:
        """Returns the learned balance, and how good the head that is kept apart is."""
        return dict(self.balance.state_dict()) | {BEST_MACRO_F1: torch.tensor(self.best_macro_f1, dtype=torch.float64)}

    def load_further_state(self, state: dict[str, torch.Tensor]) -> None:
        """Takes back what `further_state` gave."""
        self.best_macro_f1 = float(state[BEST_MACRO_F1])
        self.balance.load_state_dict({name: value for name, value in state.items() if name != BEST_MACRO_F1})

    def write_parts(self, further: dict[str, float]) -> None:
        """Keeps the head of the epoch with the best macro-F1 of the head alone, where the recipe wants it."""
        macro_f1 = further.get("macro_f1_class", NOTHING)
        if self.recipe.best_head and macro_f1 > self.best_macro_f1:
            self.best_macro_f1 = macro_f1
            head = self.trained_network().get_submodule("head")
            write_weights(self.folder / BEST_HEAD_WEIGHTS_NAME, head, prefix="head.")

    def change_sampling(self, loader: Any) -> None:
        """Draws the patches that the recipe asks for."""
        patches = self.recipe.patches
        if patches.centre == "lesion":
            centre_on(loader, self.regions.lesion)
        if patches.cases == "balanced":
            draw_cases(loader, balanced_probabilities([self.class_of(key) for key in loader.indices]))

    def on_train_start(self) -> None:
        """Counts the labels of whole cases where patches are weighed by the share of them that they hold."""
        super().on_train_start()
        if self.recipe.patches.weighs:
            self.totals = label_totals(self.get_tr_and_val_datasets()[0], self.regions)

    @property
    def regions(self) -> Regions:
        """Which labels are lesion and which are pancreas."""
        return regions_of(self.recipe.labels, self.recipe.lesions)

    def on_train_epoch_start(self) -> None:
        """Freezes what does not train in this epoch's phase."""
        super().on_train_epoch_start()
        self.phase = phase_of(self.current_epoch, self.num_epochs, self.recipe.phases)
        freeze(self.module, self.phase)
        self._class_records: list[tuple[int, list[float]]] = []

    def batch_losses(self, data: torch.Tensor, target: Any, keys: Sequence[str]) -> dict[str, torch.Tensor]:
        """Returns `loss` and, where both tasks train, its parts `segmentation` and `classification`."""
        # Always through the network's own call: it is where the processes of a distributed training meet.
        with self.autocast():
            output: MultiTaskOutput = self.network(
                data, segment=self.phase is not Phase.HEAD, classify=self.phase is not Phase.SEGMENTATION
            )
        segmentation = classification = None
        if self.phase is not Phase.HEAD:
            segmentation = self.loss(full_precision(output.segmentation), target)
        classes = self.class_targets(keys)
        if self.phase is not Phase.SEGMENTATION:
            weights = self.weights_of(finest(target), keys) if self.recipe.patches.weighs else None
            classification = self.class_loss(output.classes.float(), classes, weights)
        known = bool((classes != MISSING_CLASS).any())
        loss = self.balance(segmentation, classification, self.current_epoch / self.num_epochs, has_classes=known)
        if segmentation is None or classification is None:
            return {"loss": loss}
        return {"loss": loss, "segmentation": segmentation, "classification": classification}

    def weights_of(self, target: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
        """Returns the weight (b,) of each patch in the class loss, from its label map (b, 1, [z,] y, x)."""
        totals = torch.tensor([self.totals[str(key)] for key in keys], device=target.device)
        shares = held_shares(target, self.regions.lesion, self.regions.foreground, totals[:, 0], totals[:, 1])
        return patch_weights(shares, floor=self.recipe.patches.least_weight, full=self.recipe.patches.full_share)

    def validation_outputs(
        self, data: torch.Tensor, target: Any, keys: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Returns segmentation loss, logits and the class loss; keeps the class probabilities for the figures."""
        module = self.trained_network()
        with self.autocast():
            output: MultiTaskOutput = module(data)
        segmentation, logits = full_precision(output.segmentation), output.classes.float()
        classes = self.class_targets(keys)
        self._class_records += zip(classes.tolist(), logits.softmax(1).tolist(), strict=True)
        further = {"classification": float(self.class_loss(logits, classes))}
        return self.loss(segmentation, target), finest(segmentation), further

    def first_decisive_epoch(self) -> int:
        """Returns the last phase's first epoch: before, the Dice is not what the epochs are for."""
        phases = [phase_of(epoch, self.num_epochs, self.recipe.phases) for epoch in range(self.num_epochs)]
        return self.num_epochs if phases[-1] is Phase.HEAD else phases.index(phases[-1])

    def extra_figures(self) -> dict[str, float]:
        """Returns the figures of validation patches and, once all has trained, of whole validation cases."""
        return self.patch_figures() | self.case_figures()

    def case_figures(self) -> dict[str, float]:
        """Returns what whole validation cases give, where the recipe chooses an epoch by that; see `cohort_figures`."""
        by_cases = self.recipe.selection != "dice" or self.recipe.best_head
        if not by_cases or self.current_epoch < self.first_decisive_epoch():
            return {}
        patch_size = tuple(self.configuration_manager.patch_size)
        depth, height, width = patch_size if len(patch_size) == 3 else (1, *patch_size)
        names = self.recipe.class_names
        classes = {key: names[index] for key, index in self.case_classes.items()}
        _, cases = self.get_tr_and_val_datasets()
        priors = class_priors(dict(zip(names, self.class_counts, strict=True)))
        validation = CaseValidation(cases, classes, self.recipe, (depth, height, width), priors)
        network = for_windows(Finest(self.trained_network()), validation.patch_size)
        backend = NetworkInTraining(network, self.device, self.autocast())
        measured = [case for part in gather(validation.measure(backend, *rank_and_size())) for case in part]
        if not measured:
            return {}
        return {name: value for name, value in cohort_figures(measured).items() if value is not None}

    @property
    def criterion(self) -> str:
        """What `quality` is, in words."""
        return super().criterion if self.recipe.selection == "dice" else CRITERIA[self.recipe.selection]

    def facts(self) -> dict[str, str]:
        """Returns what this run trains on and with, by name, and the training cases of each class."""
        counts = zip(self.recipe.class_names, self.class_counts, strict=True)
        return super().facts() | {"training cases by class": ", ".join(f"{name} {count}" for name, count in counts)}

    def quality(self, further: dict[str, float]) -> float | None:
        """Returns what the recipe chooses its best epoch by; None before everything has trained."""
        if self.recipe.selection == "dice":
            return super().quality(further)
        if self.current_epoch < self.first_decisive_epoch():
            return None
        return quality_of(further, self.recipe.selection)

    def patch_figures(self) -> dict[str, float]:
        """Returns the validation patches' AUROC: of the last of two classes, else the mean of one class against all."""
        records = [record for records in gather(self._class_records) for record in records]
        known = [(index, probabilities) for index, probabilities in records if index != MISSING_CLASS]
        truth = np.array([index for index, _ in known])
        number = len(self.recipe.class_names)
        scores = np.array([probabilities for _, probabilities in known]).reshape(-1, number)
        classes = range(1, 2) if number == 2 else range(number)
        one_against_all = [point(auroc(scores[:, index], truth == index), len(known)) for index in classes]
        areas = [area for area in one_against_all if area is not None]
        return {"patch_auroc": float(np.mean(areas))} if len(areas) == len(one_against_all) else {}

    def summary(self) -> dict[str, Any]:
        """Returns how the training went, and the training cases of each class."""
        counts = dict(zip(self.recipe.class_names, self.class_counts, strict=True))
        return super().summary() | {"class_counts": counts}

    def class_of(self, key: str) -> int:
        """Returns the index of a case's class, `MISSING_CLASS` where it has none."""
        return self.case_classes.get(str(key), MISSING_CLASS)

    def class_targets(self, keys: Sequence[str]) -> torch.Tensor:
        """Returns the true classes (b,) of cases, `MISSING_CLASS` where one has none and the recipe masks it.

        Raises:
            LabelError: a case has no class, and the recipe refuses that.
        """
        classes = [self.class_of(key) for key in keys]
        if MISSING_CLASS in classes and self.recipe.class_loss.missing == "refuse":
            case_id = keys[classes.index(MISSING_CLASS)]
            raise LabelError(
                f"case '{case_id}' has no class; add its row to 'case_labels.csv', or leave it out of the class loss"
                " with class_loss.missing = mask"
            )
        return torch.tensor(classes, device=self.device)


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

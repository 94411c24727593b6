"""The class loss of a recipe, once the training cases of a fold are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from stage2_multitask.class_frequencies import class_priors, inverse_frequency_weights
from stage2_multitask.loss_settings import ClassLossSettings
from stage2_multitask.losses import adjust_logits, classification_loss, dice_bce_loss


class ClassLoss:
    """The loss of class logits against the classes of their cases.

    Attributes:
        weights: weight of each class.
        priors: share of each class among the training cases; None where the loss does not look at it.

    Args:
        settings: which loss.
        class_names: classes in the order of the logits.
        counts: training cases of each class.

    Raises:
        DatasetError: a class has no training case.
    """

    def __init__(self, settings: ClassLossSettings, class_names: Sequence[str], counts: Sequence[int]) -> None:
        self.settings = settings
        named = dict(zip(class_names, counts, strict=True))
        priors = class_priors(named)  # whatever the loss: a class that training never shows is never learned
        self.priors = priors if settings.logit_adjustment else None
        self.weights: tuple[float, ...]
        if settings.weights == "equal":
            self.weights = (1.0,) * len(class_names)
        elif settings.weights == "inverse-frequency":
            self.weights = inverse_frequency_weights(named)
        else:
            self.weights = settings.weights

    def __call__(
        self, logits: torch.Tensor, classes: torch.Tensor, patch_weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the loss of logits (b, n), float32, against classes (b,), `MISSING_CLASS` where there is none."""
        if self.settings.kind == "dice-bce":
            return dice_bce_loss(logits, classes, self.weights, patch_weights=patch_weights)
        if self.priors is not None:
            logits = adjust_logits(logits, self.priors, self.settings.logit_adjustment)
        return classification_loss(
            logits,
            classes,
            self.weights,
            patch_weights=patch_weights,
            label_smoothing=self.settings.label_smoothing,
        )


def count_classes(classes: Iterable[int], number: int) -> tuple[int, ...]:
    """Returns how many cases each of `number` classes has; other indices (`MISSING_CLASS`) are passed over."""
    found = Counter(classes)
    return tuple(found[index] for index in range(number))

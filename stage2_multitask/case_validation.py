"""Whole validation cases during training: predicted, scored and matched by the code of runs and evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ctcore.geometry import Triple
from ctcore.inference.backends.backend import ExactBackendName, ExactPrecision, named_outputs
from ctcore.inference.predict import predict_ensemble
from ctcore.nnunet.networks import stem_of, to_image
from ctcore.volume import Geometry
from stage2_multitask.class_frequencies import without_priors
from stage2_multitask.heads.region_labels import regions_of
from stage2_multitask.measure import CaseTruth, MeasuredCase, Scoring, measure_prediction
from stage2_multitask.network import MultiTaskOutput
from stage2_multitask.prediction import MultiTaskPrediction
from stage2_multitask.probabilities import softmax
from stage2_multitask.recipe import MultiTaskRecipe, Selection

CRITERIA: Mapping[Selection, str] = {
    "auroc": "AUROC of whole validation cases",
    "ap": "lesion AP of whole validation cases",
    "auroc-ap": "mean of AUROC and lesion AP of whole validation cases",
    "macro-f1": "macro-F1 of whole validation cases",
}
"""What each of `quality_of`'s figures is, in words."""

NOTHING = float("-inf")
"""What stands for a figure that the validation cases do not give."""


class NetworkInTraining:
    """A network in evaluation mode as a backend, whether or not it is under deep supervision.

    Attributes:
        name: `torch`.
        precision: `fp32`, which outputs are; the convolutions are computed as in training.
        flags: none.

    Args:
        network: takes images (b, c, [z,] y, x).
        device: where it is.
        mixed: makes a block of the training's precision.
    """

    name: ExactBackendName = "torch"
    precision: ExactPrecision = "fp32"
    flags: tuple[str, ...] = ()

    def __init__(self, network: nn.Module, device: torch.device, mixed: AbstractContextManager[Any]) -> None:
        self._network = network
        self._device = device
        self._mixed = mixed

    def __call__(self, batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the network; see `Backend`."""
        with torch.no_grad(), self._mixed:
            output = self._network(torch.from_numpy(batch).to(self._device))
        return {name: value.float().cpu().numpy() for name, value in named_outputs(output).items()}


class Finest(nn.Module):
    """Leaves of deep supervision's answers the finest, on the images' grid.

    Args:
        network: a multi-task network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.stem = stem_of(network)

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Segments and classifies images (b, c, [z,] y, x)."""
        output: MultiTaskOutput = self.network(images)
        levels = output.segmentation
        finest = levels[0] if isinstance(levels, list | tuple) else levels
        return output._replace(segmentation=to_image(finest, self.stem))


@dataclass(frozen=True)
class CaseValidation:
    """Predicts and measures whole cases with a network that is being trained.

    Attributes:
        cases: nnU-Net's dataset of preprocessed cases (`identifiers`, `load_case`).
        classes: name of each case's class; a case without one is passed over.
        recipe: labels, classes, spacing, aggregation.
        patch_size: window (z, y, x) in voxels.
        priors: share of each class among the training cases, for the recipe's adjustment.
        scoring: candidates, fusion and hits; the defaults of a bundle.
    """

    cases: Any
    classes: Mapping[str, str]
    recipe: MultiTaskRecipe
    patch_size: Triple
    priors: Sequence[float]
    scoring: Scoring = field(default_factory=Scoring)

    def measure(self, backend: NetworkInTraining, part: int = 0, parts: int = 1) -> list[MeasuredCase]:
        """Measures every `parts`-th case, from the `part`-th on."""
        known = [str(case_id) for case_id in self.cases.identifiers if str(case_id) in self.classes]
        return [self.measure_case(backend, case_id) for case_id in known[part::parts]]

    def measure_case(self, backend: NetworkInTraining, case_id: str) -> MeasuredCase:
        """Measures one case on the grid that the network sees."""
        image, label, *_ = self.cases.load_case(case_id)
        labels = np.maximum(np.asarray(label)[0], 0)  # nnU-Net marks what it cropped away with -1
        recipe = self.recipe
        lesions = regions_of(recipe.labels, recipe.lesions).lesion
        answer = predict_ensemble(
            [backend],
            np.asarray(image, dtype=np.float32),
            self.patch_size,
            foreground=regions_of(recipe.labels, recipe.lesions).foreground,
            aggregation=recipe.aggregation,
        )
        if answer.class_logits is None:
            raise ValueError("the network has no classification head")
        logits = without_priors(answer.class_logits, self.priors, recipe.post_hoc_adjustment)
        probabilities = zip(recipe.class_names, softmax(logits, axis=0).tolist(), strict=True)
        by_label = softmax(answer.segmentation, axis=0)
        prediction = MultiTaskPrediction(
            lesion_probability=by_label[list(lesions)].sum(axis=0).clip(max=1),
            labels=answer.segmentation.argmax(axis=0).astype(np.uint8),
            class_probabilities=dict(probabilities),
            class_lesion_probabilities={
                name: by_label[recipe.labels[label]] for name, label in recipe.lesion_labels.items()
            },
        )
        depth, height, width = labels.shape
        z, y, x = recipe.spacing_mm
        truth = CaseTruth(case_id, self.classes[case_id], labels, Geometry((depth, height, width), (x, y, z)))
        measured, _ = measure_prediction(prediction, truth, recipe.labels, recipe.lesions, self.scoring)
        return measured


def quality_of(figures: Mapping[str, float | None], selection: Selection) -> float:
    """Returns the figure that a recipe chooses its best epoch by; greater is better.

    Args:
        figures: what `cohort_figures` gives.
        selection: all but `dice`, which is not among them.

    Returns:
        The figure, or `NOTHING` where the validation cases do not give it.
    """
    names: dict[str, Sequence[str]] = {
        "auroc": ("auroc",),
        "ap": ("ap",),
        "auroc-ap": ("auroc", "ap"),
        "macro-f1": ("macro_f1",),
    }
    values = [figures.get(name) for name in names[selection]]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else NOTHING

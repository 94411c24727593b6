"""What a stage-2 recipe fixes beyond training: ROI margin, classes, head, losses, balance and phases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.datasets.label_names import LESION, is_lesion, project_name
from ctcore.labels import CLASS_NAMES, PANORAMA_NAMES
from ctcore.nnunet.recipe import Margin, TrainingRecipe, load_recipe
from stage2_multitask.balance_settings import BalanceSettings, FixedBalance
from stage2_multitask.heads.settings import FPNSettings, HeadSettings
from stage2_multitask.label_targets import label_targets
from stage2_multitask.loss_settings import ClassLossSettings
from stage2_multitask.patch_settings import PatchSettings, Share

Selection = Literal["dice", "auroc", "ap", "auroc-ap", "macro-f1"]

RECIPES = Path(__file__).parent / "recipes"


class PhaseShares(BaseModel):
    """How the epochs are divided among the three phases; what is left after the first two trains everything.

    Attributes:
        segmentation: share of the epochs that train encoder and decoder with the head frozen.
        head: share that trains the head with the rest frozen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    segmentation: Share = 0.0
    head: Share = 0.0

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.segmentation + self.head > 1:
            raise ValueError(f"shares {self.segmentation} + {self.head} exceed 1")
        return self


class MultiTaskRecipe(TrainingRecipe):
    """A stage-2 recipe.

    Attributes:
        margin_mm: margin (z, y, x) in mm around the pancreas of training ROIs; the localizer's margin at inference.
        margin_jitter_mm: how far at most each face of a training ROI is moved, in or out, so that the network learns
            from ROIs as wrong as the localizer's; at most the smallest margin.
        labels: segmentation labels by value.
        merged_labels: further labels that label maps may hold, each with the label that it becomes part of.
        lesion_label: name of the label that becomes the detection map.
        lesion_labels: label of each lesion class that has one of its own, which then becomes that class's map; in place
            of `lesion_label`, the name of all of them together. Lesions that a label map calls `lesion_label` become
            the label of their case's class.
        class_names: patient-level classes, in the order of the logits.
        head: the classification head.
        class_loss: how class logits are compared with the class.
        balance: how segmentation and class loss become one, where both are computed.
        phases: the division of the epochs.
        patches: how a case's class reaches its patches.
        aggregation: how class logits of several windows become one.
        post_hoc_adjustment: tau, the strength with which the log priors of the training cases are subtracted from the
            class logits at inference; only after plain cross-entropy, which has learned them.
        selection: what the best epoch is best in: `dice`, the smoothed pseudo-Dice of validation patches, or a figure
            of the whole validation cases, each predicted and scored as in a run: `auroc`, `ap` (of lesions),
            `auroc-ap` (their mean), `macro-f1`.
        best_head: whether the head of the epoch with the best macro-F1 is kept apart, for an export of its own.
    """

    fixed_by_prepare: ClassVar[tuple[str, ...]] = (
        "spacing_mm",
        "margin_mm",
        "margin_jitter_mm",
        "labels",
        "merged_labels",
        "lesion_label",
        "lesion_labels",
    )
    free_after_training: ClassVar[tuple[str, ...]] = ("aggregation", "post_hoc_adjustment")

    margin_mm: tuple[Margin, Margin, Margin]
    margin_jitter_mm: Margin = 0.0
    labels: dict[str, int] = Field(default_factory=lambda: dict(PANORAMA_NAMES))
    merged_labels: dict[str, str] = Field(default_factory=dict)
    lesion_label: str = "lesion"
    lesion_labels: dict[str, str] = Field(default_factory=dict)
    class_names: tuple[str, ...] = CLASS_NAMES
    head: HeadSettings = FPNSettings()
    class_loss: ClassLossSettings = ClassLossSettings()
    balance: BalanceSettings = FixedBalance()
    phases: PhaseShares = PhaseShares()
    patches: PatchSettings = PatchSettings()
    aggregation: Literal["foreground-weighted mean", "mean", "max"] = "foreground-weighted mean"
    post_hoc_adjustment: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    selection: Selection = "dice"
    best_head: bool = False

    @model_validator(mode="after")
    def _jitter_leaves_the_pancreas(self) -> Self:
        if self.margin_jitter_mm > min(self.margin_mm):
            raise ValueError(f"margin_jitter_mm {self.margin_jitter_mm} exceeds the margin {min(self.margin_mm)}")
        return self

    @model_validator(mode="after")
    def _priors_are_taken_out_once(self) -> Self:
        if self.post_hoc_adjustment and not (self.class_loss.is_plain and self.patches.cases == "alike"):
            raise ValueError(
                f"post_hoc_adjustment {self.post_hoc_adjustment} takes priors out that only plain cross-entropy leaves"
                f" in (class_loss: {self.class_loss}; patches.cases '{self.patches.cases}'); leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        weights = self.class_loss.weights
        if not isinstance(weights, str) and len(weights) != len(self.class_names):
            raise ValueError(f"class_loss.weights {weights} do not match class_names {self.class_names}")
        for name, target in self.merged_labels.items():
            if name in self.labels or target not in self.labels:
                raise ValueError(
                    f"merged_labels {name} = '{target}' must name a label that is not among labels"
                    f" {sorted(self.labels)} and one that is"
                )
        if not self.lesion_labels and self.lesion_label not in self.labels:
            raise ValueError(f"lesion_label '{self.lesion_label}' is not among labels {sorted(self.labels)}")
        for class_name, label in self.lesion_labels.items():
            if class_name not in self.class_names or label not in self.labels:
                raise ValueError(
                    f"lesion_labels {class_name} = '{label}' must name one of class_names {self.class_names} and one of"
                    f" labels {sorted(self.labels)}"
                )
            if not is_lesion(label) or (len(self.lesion_labels) > 1 and project_name(label) == LESION):
                raise ValueError(
                    f"lesion_labels {class_name} = '{label}' is no name of one kind of lesion; name the label for"
                    " instance 'cystic lesion'"
                )
        return self

    @property
    def lesions(self) -> tuple[str, ...]:
        """Names of the labels that are lesion."""
        return tuple(self.lesion_labels.values()) or (self.lesion_label,)

    @property
    def needed_classes(self) -> tuple[str, ...] | None:
        """The classes of which a training case must have one; None where it may have none."""
        return self.class_names if self.class_loss.missing == "refuse" else None

    @property
    def readable_labels(self) -> tuple[str, ...]:
        """Names of the labels that label maps may hold."""
        unnamed = (self.lesion_label,) if self.lesion_labels and self.lesion_label not in self.labels else ()
        return (*self.labels, *self.merged_labels, *unnamed)

    def label_targets(self, class_name: str | None) -> dict[str, int]:
        """Returns the value that each label of a label map of a case becomes; see `label_targets`."""
        own = self.lesion_label, self.lesion_labels
        return label_targets(self.labels, self.merged_labels, *own, class_name)


def load(name_or_path: str, changes: Sequence[str] = ()) -> MultiTaskRecipe:
    """Reads a stage-2 recipe by name or from a `.toml` file, with fields replaced (RecipeError where it cannot)."""
    return load_recipe(MultiTaskRecipe, name_or_path, RECIPES, changes)

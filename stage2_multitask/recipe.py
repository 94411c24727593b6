"""What a stage-2 recipe fixes beyond training: ROI margin, classes, head, losses and phases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.labels import CLASS_NAMES, PANORAMA_NAMES
from ctcore.nnunet.recipe import Margin, TrainingRecipe, load_recipe

RECIPES = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]


class HeadSettings(BaseModel):
    """The classification head.

    Attributes:
        kind: `fpn`, over the last three encoder levels.
        width: channels of the pyramid.
        pooling: `average`, or `average-max`.
        dropout: share of pooled features that training drops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fpn"] = "fpn"
    width: Annotated[int, Field(ge=1)] = 64
    pooling: Literal["average", "average-max"] = "average"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class PhaseShares(BaseModel):
    """How the epochs are divided among the three phases; what is left after the first two trains everything.

    Attributes:
        segmentation: share of the epochs that train encoder and decoder with the head frozen.
        head: share that trains the head with the rest frozen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    segmentation: Share = 0.5
    head: Share = 0.2

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
        lesion_label: name of the label that becomes the detection map.
        class_names: patient-level classes, in the order of the logits.
        class_weights: weight of each class in the cross-entropy.
        classification_weight: factor of the classification loss beside the segmentation loss.
        head: the classification head.
        phases: the division of the epochs.
        aggregation: how class logits of several windows become one.
    """

    fixed_by_prepare: ClassVar[tuple[str, ...]] = ("spacing_mm", "margin_mm", "margin_jitter_mm", "labels")
    free_after_training: ClassVar[tuple[str, ...]] = ("aggregation",)

    margin_mm: tuple[Margin, Margin, Margin]
    margin_jitter_mm: Margin = 0.0
    labels: dict[str, int] = Field(default_factory=lambda: dict(PANORAMA_NAMES))
    lesion_label: str = "lesion"
    class_names: tuple[str, ...] = CLASS_NAMES
    class_weights: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 3.0)
    classification_weight: Annotated[float, Field(ge=0)] = 1.0
    head: HeadSettings = HeadSettings()
    phases: PhaseShares = PhaseShares()
    aggregation: Literal["foreground-weighted mean", "mean", "max"] = "foreground-weighted mean"

    @model_validator(mode="after")
    def _jitter_leaves_the_pancreas(self) -> Self:
        if self.margin_jitter_mm > min(self.margin_mm):
            raise ValueError(f"margin_jitter_mm {self.margin_jitter_mm} exceeds the margin {min(self.margin_mm)}")
        return self

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if len(self.class_weights) != len(self.class_names):
            raise ValueError(f"class_weights {self.class_weights} do not match class_names {self.class_names}")
        if self.lesion_label not in self.labels:
            raise ValueError(f"lesion_label '{self.lesion_label}' is not among labels {sorted(self.labels)}")
        return self


def load(name_or_path: str, changes: Sequence[str] = ()) -> MultiTaskRecipe:
    """Reads a stage-2 recipe by name or from a `.toml` file, with fields replaced (RecipeError where it cannot)."""
    return load_recipe(MultiTaskRecipe, name_or_path, RECIPES, changes)

"""What an exported multi-task network holds."""

from typing import Annotated, Literal

from pydantic import Field

from ctcore.nnunet.exported import ExportedModel
from stage2_multitask.heads.settings import HeadSettings


class MultiTaskModel(ExportedModel):
    """`model.json` of a stage-2 folder.

    Attributes:
        lesion_label: name of the label that becomes the detection map.
        lesion_labels: label of each lesion class that has one of its own; then their sum stands for `lesion_label`.
        class_names: patient-level classes, in the order of the logits.
        head: the classification head.
        aggregation: how class logits of several windows become one.
        class_priors: share of each class among the training cases, where the class loss added their logarithm to the
            logits; None where it did not. At inference the logits are used as they are.
        temperature: divides the aggregated class logits before the softmax.
    """

    stage: Literal["stage2"] = "stage2"
    lesion_label: str
    lesion_labels: dict[str, str] = Field(default_factory=dict)
    class_names: tuple[str, ...]
    head: HeadSettings
    aggregation: Literal["foreground-weighted mean", "mean", "max"]
    class_priors: tuple[float, ...] | None = None
    temperature: Annotated[float, Field(gt=0)] = 1.0

    @property
    def readable_labels(self) -> dict[str, int]:
        """Value that each label of a label map becomes, those included that the recipe merged."""
        merged: dict[str, str] = self.recipe.get("merged_labels", {})
        return self.labels | {name: self.labels[target] for name, target in merged.items()}

    @property
    def lesions(self) -> tuple[str, ...]:
        """Names of the labels that are lesion."""
        return tuple(self.lesion_labels.values()) or (self.lesion_label,)

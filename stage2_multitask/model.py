"""What an exported multi-task network holds."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from ctcore.nnunet.exported import ExportedModel
from stage2_multitask.heads.settings import HeadSettings
from stage2_multitask.label_targets import label_targets

GateSide = Annotated[int, Field(ge=1, le=99)]


class LabelGate(BaseModel):
    """Where a lesion can be: near what the network itself labels so.

    Attributes:
        labels: names of these labels.
        voxels: size (z, y, x) of the box of voxels by which they are dilated, odd.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...] = Field(min_length=1)
    voxels: tuple[GateSide, GateSide, GateSide] = (5, 5, 5)


class MultiTaskModel(ExportedModel):
    """`model.json` of a stage-2 folder.

    Attributes:
        lesion_label: name of the label that becomes the detection map.
        lesion_labels: label of each lesion class that has one of its own; then their sum stands for `lesion_label`.
        class_names: patient-level classes, in the order of the logits; empty without a head.
        head: the classification head; None: the network segments alone.
        aggregation: how class logits of several windows become one.
        class_priors: share of each class among the training cases, where the class loss added their logarithm to the
            logits, which are then used as they are, or where it is subtracted now; else None.
        post_hoc_adjustment: tau, how often their logarithm is subtracted from the logits.
        temperature: divides the aggregated class logits before the softmax.
        lesion_gate: outside it the lesion probability is cleared, as in the PANORAMA baseline; None: nowhere.
    """

    stage: Literal["stage2"] = "stage2"
    lesion_label: str
    lesion_labels: dict[str, str] = Field(default_factory=dict)
    class_names: tuple[str, ...]
    head: HeadSettings | None
    aggregation: Literal["foreground-weighted mean", "mean", "max"] = "foreground-weighted mean"
    class_priors: tuple[FiniteFloat, ...] | None = None
    post_hoc_adjustment: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    lesion_gate: LabelGate | None = None

    @model_validator(mode="after")
    def _labels_are_there(self) -> Self:
        if (self.head is None) != (not self.class_names):
            raise ValueError(f"class_names {self.class_names} are the outputs of a head; give both or none")
        gate = self.lesion_gate.labels if self.lesion_gate else ()
        unknown = [name for name in (*self.lesions, *gate) if name not in self.labels]
        if unknown:
            raise ValueError(f"label '{unknown[0]}' is none of {', '.join(self.labels)}")
        if self.post_hoc_adjustment and len(self.class_priors or ()) != len(self.class_names):
            raise ValueError(
                f"post_hoc_adjustment {self.post_hoc_adjustment} needs a prior of each of {self.class_names} in"
                f" class_priors, not {self.class_priors}"
            )
        return self

    def label_targets(self, class_name: str | None) -> dict[str, int]:
        """Returns the value that each label of a label map of a case becomes, those included that the recipe merged."""
        merged: dict[str, str] = self.recipe.get("merged_labels", {})
        return label_targets(self.labels, merged, self.lesion_label, self.lesion_labels, class_name)

    @property
    def lesions(self) -> tuple[str, ...]:
        """Names of the labels that are lesion."""
        return tuple(self.lesion_labels.values()) or (self.lesion_label,)

"""What a bundle says of itself: the content of `bundle.json`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctcore.detection.calibration import Calibration
from ctcore.detection.candidates import CandidateSettings
from ctcore.detection.fusion import FusionSettings
from ctcore.quality.reference import QualityReference
from pipeline.card_facts import CardFacts
from pipeline.efforts import MeasuredEffort

BUNDLE_SCHEMA_VERSION: Final = 1
"""Raised when a manifest of today could no longer be read as it is."""

DEMO_NOTICE = "demonstration model trained on synthetic images (phantoms); not for clinical use"
"""What every output of a demonstration bundle says."""


Orientation = Literal["LPS", "as-stored"]


class BundleManifest(BaseModel):
    """What `bundle.json` holds.

    Attributes:
        schema_version: version of this table of keys.
        name: the bundle's name.
        version: version of the model, chosen by whoever made it.
        description: one sentence.
        demo: whether it is a demonstration model: every output then says so.
        orientation: axis order that the stages expect: `LPS`, to which volumes are brought and results taken back, or
            `as-stored`, the order of the file, as nnU-Net has it.
        class_names: patient-level classes, in the order of the classifier's outputs.
        classifier: whether the multi-task network has a classification head; without one cases have no class
            probabilities, and the score is the maximum of the detection map (fusion `map`).
        lesion_classes: those of them that stand for a lesion.
        candidates: how lesion candidates are cut out of the lesion probability.
        fusion: how the score is made.
        calibration: what is known of the scores from validation cases, or None.
        efforts: what less effort costs in accuracy, measured on validation cases; empty where it was not.
        quality: limits of the quality figures, found on reference cases, or None.
        card: what its maker says of it, for the model card.
        files: SHA-256 (hexadecimal) by path relative to the bundle, `/` between folders.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = BUNDLE_SCHEMA_VERSION
    name: str = Field(min_length=1)
    version: str = "1"
    description: str
    demo: bool
    orientation: Orientation = "LPS"
    class_names: tuple[str, ...] = Field(min_length=2)
    classifier: bool = True
    lesion_classes: tuple[str, ...] = Field(min_length=1)
    candidates: CandidateSettings
    fusion: FusionSettings
    calibration: Calibration | None = None
    efforts: tuple[MeasuredEffort, ...] = ()
    quality: QualityReference | None = None
    card: CardFacts = CardFacts()
    files: dict[str, str]

    @model_validator(mode="after")
    def _fusion_has_its_terms(self) -> BundleManifest:
        if not self.classifier and self.fusion.rule != "map":
            raise ValueError(
                f"fusion '{self.fusion.rule}' needs class probabilities, and there is no classifier: use map"
            )
        return self

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Classes that have a probability; none without a classifier."""
        return self.class_names if self.classifier else ()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Thresholds of the score at the operating points."""
        return tuple(point.threshold for point in self.calibration.operating_points) if self.calibration else ()

    @model_validator(mode="after")
    def _lesion_classes_are_classes(self) -> BundleManifest:
        unknown = sorted(set(self.lesion_classes) - set(self.class_names))
        if unknown:
            raise ValueError(f"lesion classes {unknown} are not among the classes {list(self.class_names)}")
        return self

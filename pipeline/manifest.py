"""What a bundle says of itself: the content of `bundle.json`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text


def _class_name(text: str) -> str:
    """Refuses names that could not be columns, files and words on a page."""
    if text != text.strip() or text[:1] in "=+-@.":
        raise ValueError("a class's name begins with a letter or digit and has no blanks around it")
    return _printable(text)


Line = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
ClassName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_class_name)]
MAX_FILES = 1000
MAX_CLASSES = 64

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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = BUNDLE_SCHEMA_VERSION
    name: Line = Field(min_length=1)
    version: Line = "1"
    description: Line
    demo: bool
    orientation: Orientation = "LPS"
    class_names: tuple[ClassName, ...] = Field(min_length=2, max_length=MAX_CLASSES)
    classifier: bool = True
    lesion_classes: tuple[ClassName, ...] = Field(min_length=1, max_length=MAX_CLASSES)
    candidates: CandidateSettings
    fusion: FusionSettings
    calibration: Calibration | None = None
    efforts: tuple[MeasuredEffort, ...] = ()
    quality: QualityReference | None = None
    card: CardFacts = CardFacts()
    files: dict[str, str] = Field(max_length=MAX_FILES)

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

"""What the doctor can find; docs/datasets.md says of each what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The name of each finding."""

    UNREADABLE_IMAGE = "unreadable-image"
    UNREADABLE_LABEL = "unreadable-label"
    NOT_CT = "not-ct"
    GRID_MISMATCH = "grid-mismatch"
    FRACTIONAL_LABEL = "fractional-label"
    ROUNDED_LABEL = "rounded-label"
    STRAY_LABEL = "stray-label"
    EMPTY_LABEL = "empty-label"
    NO_PANCREAS = "no-pancreas"
    LESION_MISSING = "lesion-missing"
    LESION_UNEXPECTED = "lesion-unexpected"
    MISSING_LABEL = "missing-label"
    MISSING_CLASS = "missing-class"
    UNKNOWN_CLASS = "unknown-class"
    DUPLICATE_IMAGE = "duplicate-image"
    TWO_SPLITS = "two-splits"
    UNUSABLE_SPLITS = "unusable-splits"
    PATIENT_IN_TWO_SPLITS = "patient-in-two-splits"
    UPPER_CASE_EXTENSION = "upper-case-extension"
    NO_CLASSES = "no-classes"
    ONE_CLASS = "one-class"
    TOO_FEW_CASES = "too-few-cases"
    LABEL_NAMES = "label-names"


@dataclass(frozen=True)
class Finding:
    """Something about a case, or about a whole dataset.

    Attributes:
        code: what kind.
        message: one line that quotes the value.
        fault: whether a person has to decide; otherwise it is a note.
    """

    code: Code
    message: str
    fault: bool = True

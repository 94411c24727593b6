"""What a challenge says of the patient beside the CT: read, checked and recorded; no model uses it yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ctcore.errors import RequestError, describe_validation
from ctcore.json_files import read_json

OLDEST_YEARS = 150.0
DAYS_A_YEAR = 365.25
UNITS_A_YEAR = {"Y": 1.0, "M": 12.0, "W": DAYS_A_YEAR / 7, "D": DAYS_A_YEAR}
"""Units of DICOM's age strings, as in `042Y`."""


class ClinicalInformation(BaseModel):
    """A patient's clinical information; whatever is not known is None.

    Attributes:
        age: in years; DICOM's age strings (`067Y`, `018M`) are taken too.
        sex: as it is given.
        study_date: as it is given.
        scanner: as it is given.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    age: float | None = Field(default=None, ge=0, le=OLDEST_YEARS, allow_inf_nan=False)
    sex: str | None = None
    study_date: str | None = None
    scanner: str | None = None

    @field_validator("age", mode="before")
    @classmethod
    def _in_years(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([YMWD]?)\s*", value, re.IGNORECASE)
        if match is None:
            raise ValueError("it is not an age; write years, or as DICOM does, 067Y")
        return float(match[1]) / UNITS_A_YEAR[match[2].upper() or "Y"]

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the fields that are known."""
        return tuple(name for name, value in self if value is not None)


@dataclass(frozen=True)
class ReadInformation:
    """A file of clinical information.

    Attributes:
        information: what it says.
        unknown: its fields that nothing here knows; they are left out.
    """

    information: ClinicalInformation
    unknown: tuple[str, ...]


def read_clinical_information(path: Path) -> ReadInformation | None:
    """Reads a file of clinical information; None where there is none.

    Raises:
        RequestError: it is not a JSON object, or a field has an impossible value.
    """
    if not path.exists():
        return None
    content = read_json(path)
    if not isinstance(content, dict):
        raise RequestError(f"'{path}' holds a JSON {type(content).__name__}; give an object with age, sex, ...")
    try:
        information = ClinicalInformation.model_validate(content)
    except ValidationError as error:
        raise RequestError(f"'{path}' is not valid: {describe_validation(error)}; correct it, or write null") from error
    return ReadInformation(information, tuple(sorted(content.keys() - ClinicalInformation.model_fields.keys())))

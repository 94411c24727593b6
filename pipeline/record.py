"""What all that is kept as JSON has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ctcore.errors import RequestError, describe_validation
from ctcore.json_files import read_json


class Record(BaseModel):
    """What is kept as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path, *, shown: str | None = None, otherwise: str = "run again") -> Self:
        """Reads what is kept in a file.

        Args:
            path: the file.
            shown: what a reader calls it; None: its path.
            otherwise: what to do where it is not valid.

        Raises:
            RequestError: it is missing, no JSON, or not what it should hold.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise RequestError(f"'{shown or path}' is not valid: {describe_validation(error)}; {otherwise}") from error

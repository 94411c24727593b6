"""Groups of cases by the columns of a table: scanner, sex, age band, source."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.predictions import listed, read_table

UNKNOWN = "unknown"
"""Stratum of the cases whose cell is empty."""

PATIENT_COLUMN = "patient_id"
"""Column whose equal values are one patient, whose cases the bootstrap draws together."""

MAX_VALUES = 30
"""Distinct values from which a column is taken for one that was not meant to make strata."""


@dataclass(frozen=True)
class Column:
    """A request for strata: a column, and for numbers the bounds of the bands.

    Attributes:
        name: of the column.
        bounds: rising; a band holds its lower bound. Empty: every value is a stratum.
    """

    name: str
    bounds: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Column:
        """Reads `COLUMN` or `COLUMN:BOUND,BOUND,...`, for example `patient_age:50,65,80`.

        Raises:
            RequestError: the bounds are not rising numbers.
        """
        name, colon, bounds = text.partition(":")
        if not colon:
            return cls(name.strip())
        try:
            numbers = tuple(float(bound) for bound in bounds.split(","))
        except ValueError as error:
            raise RequestError(
                f"strata '{text}': '{bounds}' are not numbers; write COLUMN:50,65,80 for bands"
            ) from error
        if not all(math.isfinite(n) for n in numbers) or any(b <= a for a, b in itertools.pairwise(numbers)):
            raise RequestError(f"strata '{text}': the bounds must rise; write COLUMN:50,65,80 for bands")
        return cls(name.strip(), numbers)

    def stratum(self, cell: str) -> str:
        """Returns the stratum that a cell belongs to.

        Raises:
            DatasetError: bands are asked for and the cell is not a number (DICOM ages such as 042Y are).
        """
        if not cell:
            return UNKNOWN
        if not self.bounds:
            return cell
        try:
            value = float(cell[:-1] if cell[-1:] in "Yy" else cell)
        except ValueError as error:
            raise DatasetError(
                f"'{cell}' in column '{self.name}' is not a number; ask for strata without bands"
            ) from error
        place = sum(value >= bound for bound in self.bounds)
        if place == 0:
            return f"< {self.bounds[0]:g}"
        if place == len(self.bounds):
            return f">= {self.bounds[-1]:g}"
        return f"{self.bounds[place - 1]:g} to < {self.bounds[place]:g}"


@dataclass(frozen=True)
class StrataTable:
    """What a table says of the cases.

    Attributes:
        strata: for every column asked for, the stratum of every case, by case id.
        patients: patient by case id, or None if the table has no such column.
    """

    strata: Mapping[str, Mapping[str, str]]
    patients: Mapping[str, str] | None


def read_strata(path: Path, columns: Sequence[Column], case_ids: Sequence[str]) -> StrataTable:
    """Reads the strata of the cases.

    Args:
        path: a CSV with `case_id` and the columns; a column `patient_id` says which cases are one patient's.
        columns: the columns asked for.
        case_ids: the cases that it must have.

    Raises:
        RequestError: the table cannot be read, or a column has too many values.
        DatasetError: a column or a case is missing.
    """
    rows = read_table(path, ("case_id", *(column.name for column in columns)))
    missing = [case_id for case_id in case_ids if case_id not in rows]
    if missing:
        raise DatasetError(f"'{path}' has no row for {listed(missing)}; add them")
    strata = {}
    for column in columns:
        of_case = {case_id: column.stratum(rows[case_id][column.name]) for case_id in case_ids}
        values = sorted(set(of_case.values()))
        if len(values) > MAX_VALUES:
            raise RequestError(
                f"column '{column.name}' of '{path}' has {len(values)} values; for numbers ask for bands, as in"
                f" {column.name}:50,65,80"
            )
        strata[column.name] = of_case
    has_patients = all(PATIENT_COLUMN in rows[case_id] for case_id in case_ids)
    patients = {case_id: rows[case_id][PATIENT_COLUMN] or case_id for case_id in case_ids} if has_patients else None
    return StrataTable(strata, patients)

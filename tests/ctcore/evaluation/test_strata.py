"""Strata from the columns of a table."""

from pathlib import Path

import pytest

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.strata import UNKNOWN, Column, read_strata


@pytest.mark.parametrize(
    ("cell", "stratum"),
    [
        ("042Y", "< 50"),
        ("50", "50 to < 65"),
        ("64.9", "50 to < 65"),
        ("65", ">= 65"),
        ("080Y", ">= 65"),
        ("", UNKNOWN),
    ],
)
def test_bands_of_numbers(cell: str, stratum: str) -> None:
    assert Column.parse("age:50,65").stratum(cell) == stratum


def test_a_column_without_bounds_is_taken_as_it_is() -> None:
    assert Column.parse(" scanner ") == Column("scanner")
    assert Column("scanner").stratum("SIEMENS") == "SIEMENS"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age:old", "'old' are not numbers"),
        ("age:", "'' are not numbers"),
        ("age:65,50", "must rise"),
        ("age:nan", "must rise"),
    ],
)
def test_impossible_bands_are_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Column.parse(text)


def test_a_cell_that_is_no_number_has_no_band() -> None:
    with pytest.raises(DatasetError, match="'old' in column 'age' is not a number"):
        Column.parse("age:50").stratum("old")


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_strata_and_patients_by_case(tmp_path: Path) -> None:
    path = table(tmp_path, "case_id,sex,age,patient_id\na,F,40,p1\nb,,70,p1\nc,M,50,\nextra,M,1,p9\n")
    found = read_strata(path, [Column("sex"), Column("age", (50.0,))], ["a", "b", "c"])
    assert found.strata == {
        "sex": {"a": "F", "b": UNKNOWN, "c": "M"},
        "age": {"a": "< 50", "b": ">= 50", "c": ">= 50"},
    }
    assert found.patients == {"a": "p1", "b": "p1", "c": "c"}


def test_no_patients_without_their_column(tmp_path: Path) -> None:
    assert read_strata(table(tmp_path, "case_id,sex\na,F\n"), [Column("sex")], ["a"]).patients is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "case_id,sex\na,F\n")
    with pytest.raises(DatasetError, match="has no row for 'b'"):
        read_strata(path, [Column("sex")], ["a", "b"])
    with pytest.raises(DatasetError, match="lacks the column 'scanner'"):
        read_strata(path, [Column("scanner")], ["a"])


def test_a_column_of_numbers_needs_bands(tmp_path: Path) -> None:
    ids = [f"c{n}" for n in range(40)]
    path = table(tmp_path, "case_id,age\n" + "".join(f"{case},{n}\n" for n, case in enumerate(ids)))
    with pytest.raises(RequestError, match=r"column .age. .* has 40 values; for numbers ask for bands"):
        read_strata(path, [Column("age")], ids)

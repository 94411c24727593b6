"""The table of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcore.datasets.case_labels import read_case_labels, write_case_labels
from ctcore.errors import DatasetError

THREE = {"a": "PDAC", "b": "non-PDAC", "c": "PDAC"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("case,class\na,PDAC\n", r"has columns \['case', 'class'\]; it needs case_id and class_name"),
        ("", r"has columns None"),
        ("case_id,class_name\na,\n", "case 'a' has no class"),
        ("case_id,class_name\na\n", "case 'a' has no class"),
        ("case_id,class_name\na,PDAC\na,non-PDAC\n", "case 'a' is both 'PDAC' and 'non-PDAC'"),
    ],
)
def test_a_bad_table_of_classes(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "case_labels.csv"
    path.write_text(table)
    with pytest.raises(DatasetError, match=message):
        read_case_labels(path)


def test_a_table_that_excel_has_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfcase_id,class_name\r\na,PDAC\r\n")
    assert read_case_labels(tmp_path / "t.csv") == {"a": "PDAC"}


def test_a_missing_table_of_classes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"case_labels\.csv' is missing"):
        read_case_labels(tmp_path / "case_labels.csv")


def test_table_round_trip(tmp_path: Path) -> None:
    write_case_labels(tmp_path / "t.csv", THREE)
    assert read_case_labels(tmp_path / "t.csv") == THREE

"""Text from outside is one line, and a case's id fits every table, page, command and file system."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.datasets.case_labels import read_case_labels, write_case_labels
from ctcore.errors import CaseError, first_line
from ctcore.files import case_id_of, label_id_of
from ctcore.text import MAX_ID_BYTES, printable, safe_id


@pytest.mark.parametrize("name", ["case_1", "Bauchspeicheldrüse 2", "膵臓", "a.b-c", "<b>bold", "a,b"])
def test_usual_names_stay(name: str) -> None:
    assert safe_id(name) == printable(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("=cmd()", "%3Dcmd()"),
        ("+1", "%2B1"),
        ("-rf", "%2Drf"),
        ("@SUM(A1)", "%40SUM(A1)"),
        ("a\nb", "a%0Ab"),
        ("a\x1b[31mb", "a%1B[31mb"),
        ("a\u202eb", "a%E2%80%AEb"),
        ("a\udcffb", "a%FFb"),
        ("\t=1", "%09=1"),
    ],
)
def test_what_is_not_safe_is_quoted(name: str, safe: str) -> None:
    assert safe_id(name) == safe
    assert case_id_of(Path(f"{name}_0000.nii.gz")) == label_id_of(Path(f"{name}.mha")) == safe


@pytest.mark.parametrize(
    ("text", "safe"), [("../x", "..%2Fx"), ("/etc/passwd", "%2Fetc%2Fpasswd"), (".", "%2E"), ("..", "%2E."), ("", "")]
)
def test_ids_of_tables_are_no_paths(text: str, safe: str) -> None:
    assert safe_id(text) == safe


@given(st.text())
def test_ids(text: str) -> None:
    safe = safe_id(text)
    assert safe.isprintable()
    assert len(safe.encode()) <= MAX_ID_BYTES
    assert safe[:1] not in set("=+-@")
    assert safe_id(safe) == safe


def test_long_names_stay_apart() -> None:
    one, other = safe_id("ü" * 200 + "1"), safe_id("ü" * 200 + "2")
    assert one != other
    assert one[:90] == other[:90] == "ü" * 90


def test_errors_are_one_line_without_escapes() -> None:
    assert first_line(CaseError("'a\x1b[2J' is\u2028not")) == r"'a\x1b[2J' is"
    assert printable("a\x1b[2J\n\u202e") == r"a\x1b[2J\n\u202e"


def test_ids_with_commas_and_quotes_come_back(tmp_path: Path) -> None:
    classes = {'a,"b': "PDAC", "c": "non-PDAC"}
    write_case_labels(tmp_path / "labels.csv", classes)
    assert read_case_labels(tmp_path / "labels.csv") == classes
    with (tmp_path / "labels.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 3


def test_a_table_calls_a_case_as_its_file_does(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("case_id,class_name\n=cmd(),PDAC\n")
    assert read_case_labels(tmp_path / "labels.csv") == {case_id_of(Path("=cmd()_0000.nii.gz")): "PDAC"}

"""Who is positive, and of which class."""

from pathlib import Path

import pytest

from ctcore.errors import DatasetError, RequestError
from ctcore.evaluation.truth import read_truth


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "case_labels.csv"
    path.write_text("case_id,class_name\n" + text)
    return path


def test_without_a_table_a_lesion_decides() -> None:
    truth = read_truth(None, ["a"])
    assert (truth.is_positive("a", True), truth.is_positive("a", False)) == (True, False)
    assert (truth.class_of("a", True), truth.class_of("a", False)) == ("PDAC", "non-PDAC")


def test_with_a_table_the_class_decides(tmp_path: Path) -> None:
    truth = read_truth(table(tmp_path, "a,PDAC\nb,non-PDAC\nother,?\n"), ["a", "b"])
    assert (truth.is_positive("a", False), truth.is_positive("b", True)) == (True, False)


def test_other_classes_need_to_be_said_which_are_positive(tmp_path: Path) -> None:
    path = table(tmp_path, "a,cyst\nb,PDAC\nc,healthy\n")
    with pytest.raises(DatasetError, match=r"case 'a' .* has class 'cyst'; .* say with --positive"):
        read_truth(path, ["a", "b", "c"])
    truth = read_truth(path, ["a", "b", "c"], ["PDAC", "cyst"])
    assert [truth.is_positive(case, False) for case in "abc"] == [True, True, False]
    with pytest.raises(RequestError, match="positive class 'tumour' is none of the classes"):
        read_truth(path, ["a"], ["tumour"])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no row for 'b'"):
        read_truth(table(tmp_path, "a,PDAC\n"), ["a", "b"])
    with pytest.raises(DatasetError, match="has no class for 'a'; add it"):
        read_truth(table(tmp_path, "a,\n"), ["a"])
    with pytest.raises(RequestError, match="need a table of case labels"):
        read_truth(None, ["a"], ["PDAC"])

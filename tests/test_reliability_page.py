"""The page of faults: every row has a test, and every fault of the tables has a row."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.page import ROOT, broken_links
from tests.pipeline.faults.fault import Fault
from tests.pipeline.faults.file_faults import FILE_FAULTS
from tests.pipeline.faults.image_faults import IMAGE_FAULTS
from tests.pipeline.faults.test_other_commands import BUNDLE_FAULTS, EVALUATION_FAULTS, TRAINING_FAULTS

PAGE = "reliability.md"
FEWEST_ROWS = 60
FAULTS = "tests/pipeline/faults/"

PARAMETERS = {
    f"{FAULTS}test_faults.py::test_a_faulty_file": frozenset(FILE_FAULTS),
    f"{FAULTS}test_faults.py::test_a_faulty_image": frozenset(IMAGE_FAULTS),
    f"{FAULTS}test_other_commands.py::test_evaluate": frozenset(EVALUATION_FAULTS),
    f"{FAULTS}test_other_commands.py::test_prepare": frozenset(TRAINING_FAULTS),
    f"{FAULTS}test_other_commands.py::test_bundle_create": frozenset(BUNDLE_FAULTS),
}
"""Faults of the tests that run a table of them."""


@cache
def rows() -> list[tuple[str, str, str, str | None]]:
    """Returns fault, what happens, test and the test's parameter of every row of the page."""
    found = []
    for table in re.findall(
        r"^\| fault \| what happens \| test \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", text(), re.MULTILINE
    ):
        for line in table.splitlines():
            match = re.fullmatch(r"\| (.+?) \| (.+) \| `([\w/.]+::\w+(?:::\w+)?)(?:\[(.+)\])?` \|", line)
            assert match is not None, line
            found.append((match[1], match[2], match[3], match[4]))
    return found


def text() -> str:
    """Returns the page."""
    return (ROOT / "docs" / PAGE).read_text()


@cache
def named_in(path: str) -> frozenset[str]:
    """Returns the names of the tests of a file, those of classes as `Class::test`."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(name for name in found if name.rsplit("::", 1)[-1].startswith("test"))


def test_every_row_has_its_test() -> None:
    for fault, _, node, parameter in rows():
        path, name = node.split("::", 1)
        assert (ROOT / path).is_file(), f"'{fault}' names {path}"
        assert name in named_in(path), f"'{fault}' names {node}"
        assert parameter is None or parameter in PARAMETERS[node], f"'{fault}' names {node}[{parameter}]"


def test_rows_are_many_and_each_is_there_once() -> None:
    faults = [fault for fault, *_ in rows()]
    assert len(faults) >= FEWEST_ROWS
    assert sorted(faults) == sorted(set(faults))


@pytest.mark.parametrize("node", PARAMETERS)
def test_every_fault_of_a_table_has_a_row(node: str) -> None:
    named = [parameter for _, _, test, parameter in rows() if test == node]
    assert sorted(parameter or "" for parameter in named) == sorted(PARAMETERS[node])


def test_rows_say_what_the_tests_expect() -> None:
    for fault, happens, node, parameter in rows():
        table = {"test_a_faulty_file": FILE_FAULTS, "test_a_faulty_image": IMAGE_FAULTS}.get(node.split("::")[1], {})
        expected: Fault | None = table.get(parameter or "")
        if expected is None:
            continue
        flags = re.findall(r"`(\w+)`", happens) if expected.end == "done" else []
        assert happens.startswith(expected.end), fault
        assert tuple(flags) == expected.flags, fault


def test_links() -> None:
    assert broken_links(PAGE) == []

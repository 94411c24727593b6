"""Names of cases: printable, and never two for one file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctcore.case_names import case_id_from, is_text, same_name, why_not_named


@pytest.mark.parametrize(
    ("name", "case_id"),
    [
        ("a_0000.nii.gz", "a"),
        ("Grün 1.mha", "Grün 1"),
        ("a\tb\n.nii", "a%09b%0A"),
        (os.fsdecode(b"caf\xe9.nii"), "caf%E9"),
        ("a\u2028b.nii", "a%E2%80%A8b"),
    ],
)
def test_ids(name: str, case_id: str) -> None:
    assert case_id_from(Path(name)) == case_id
    assert (why_not_named(Path(name)) is None) == (case_id in ("a", "Grün 1"))


def test_what_file_systems_do_not_tell_apart() -> None:
    assert same_name("Gru\u0308n") == same_name("GRÜN")
    assert same_name("straße") == same_name("STRASSE")
    assert same_name("a") != same_name("á")


def test_text() -> None:
    assert is_text(Path("/data/Grün"))
    assert not is_text(Path(os.fsdecode(b"/data/caf\xe9/a.nii")))

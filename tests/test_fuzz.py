"""Every target of the fuzzer ends in a value or in one of this project's errors: its seeds, some changed, a minute."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]
SECONDS = len(TARGETS)


def without_a_name() -> bytes:
    """A ZIP archive whose one file has an empty name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", b"x")
    data = bytearray(made.getvalue())
    at = data.find(b"PK\1\2")
    data[at + 28], data[at + 32] = 0, 1  # the length of its name, and of the comment that follows
    return bytes(data)


NUMPY_HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), } (".ljust(117) + b"\n"

CRASHES = {
    "archive": (without_a_name(),),
    "array": (b"\x93NUMPY\x01\x00v\x00" + NUMPY_HEADER,),
    "metaimage": (b"NDims = 1000\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",),
    "nrrd": (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nkinds: domain" + b" " * 1000 + b"\n\n",),
    "recipe": (b"\xff", b"a = " + b"[" * 5000),
    "case_labels": (b"\xff\xfe", b'case_id,class_name\n"' + b"x" * 200_000),
    "json": (b"[" * 100_000, b"\xff"),
}
"""Inputs that once ended the process, or in an error that is not this project's."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_pass(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", CRASHES)
def test_what_was_found(name: str) -> None:
    for data in CRASHES[name]:
        TARGETS[name].run(data)
        if f"read_{name}" in TARGETS:
            TARGETS[f"read_{name}"].run(data)


@pytest.mark.parametrize("name", [name for name in TARGETS if not name.startswith("read_")])
@given(at=st.integers(0, 2000), cut=st.integers(0, 40), data=st.binary(max_size=40), which=st.integers(0, 9))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_changed_seeds(name: str, at: int, cut: int, data: bytes, which: int) -> None:
    seeds = TARGETS[name].seeds()
    seed = seeds[which % len(seeds)]
    at %= len(seed) + 1
    TARGETS[name].run(seed[:at] + data + seed[at + cut :])


@pytest.mark.slow
def test_a_minute_of_all_targets(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris, of the extra 'fuzz', is not installed: only seeds were tried")
    command = [sys.executable, "-m", "fuzz", "--seconds", str(SECONDS), "--corpus", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("executions, no crash")
    assert all(any((tmp_path / name).iterdir()) for name in TARGETS)

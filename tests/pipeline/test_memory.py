"""Sizes as text, and what this process has in memory."""

from __future__ import annotations

import importlib
import mmap
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcore.errors import MemoryLimitError, RequestError
from ctcore.files import CaseFile
from pipeline.memory import check_ct, parse_size, peak, resident
from tests.apart import APART


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 << 30), ("512M", 512 << 20), ("3.5 GiB", 7 << 29), ("1024k", 1 << 20), ("7B", 7), ("1tb", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "four", "-1G", "0", "4X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(RequestError, match="is not a size; write for instance 4G"):
        parse_size(text)


def take_and_give_back(tell: Connection) -> None:
    """Tells what is resident before 64 MiB are taken, while they are, and after; and the peak."""
    before = resident()
    taken = mmap.mmap(-1, 64 << 20)  # whatever the allocator keeps for later
    taken.write(b"x" * (64 << 20))
    during = resident()
    taken.close()
    tell.send((before, during, resident(), peak()))


def test_memory_that_is_taken_is_seen() -> None:
    """In a process of its own: what other tests have left running takes memory meanwhile."""
    told, tell = APART.Pipe(duplex=False)
    process = APART.Process(target=take_and_give_back, args=(tell,))
    process.start()
    before, during, after, most = told.recv()
    process.join()
    assert during - before > 60 << 20
    assert after - before < 32 << 20
    assert most >= before + (60 << 20)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipeline.memory._STATUS", tmp_path / "none")
    with pytest.raises(RequestError, match="leave --max-ram out"):
        resident()


@pytest.mark.parametrize(
    ("dtype", "slope", "bytes_a_voxel"), [("int16", 1.0, 5), ("float32", 1.0, 9), ("int16", 0.5, 17)]
)
def test_what_a_ct_takes_follows_from_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, slope: float, bytes_a_voxel: int
) -> None:
    nibabel: Any = importlib.import_module("nibabel")
    image = nibabel.Nifti1Image(np.zeros((10, 20, 30), dtype), np.eye(4))
    image.header.set_slope_inter(slope, 0.0)
    nibabel.save(image, tmp_path / "a.nii")
    monkeypatch.setattr("pipeline.memory.resident", lambda: 1000)
    case = CaseFile("a", tmp_path / "a.nii")
    needed = 1000 + bytes_a_voxel * 6000
    check_ct(case, needed)
    with pytest.raises(MemoryLimitError, match=r"'a\.nii' of 10 x 20 x 30 voxels may need"):
        check_ct(case, needed - 1)

"""Scratch folders go with their blocks, and with their processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import RequestError
from ctcore.lock import LOCK_NAME
from ctcore.scratch import PREFIX, remove_abandoned, scratch_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_its_block(place: Path) -> None:
    with scratch_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"x")
        assert folder.parent == place
        remove_abandoned()
        assert (folder / "deep" / "file").exists()
    assert list(place.iterdir()) == []


def hold(connection: Any) -> None:
    with scratch_folder() as folder:
        (folder / "ct.nii.gz").write_bytes(b"x")
        connection.send(str(folder))
        time.sleep(60)


def test_a_folder_goes_with_its_process(place: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(there,))
    process.start()
    folder = Path(here.recv())
    remove_abandoned()
    assert (folder / "ct.nii.gz").exists()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    remove_abandoned()
    assert list(place.iterdir()) == []


def test_what_is_not_locked_yet_stays_for_a_minute(place: Path) -> None:
    new, old, other = place / f"{PREFIX}new", place / f"{PREFIX}old", place / "other"
    for folder in (new, old, other):
        folder.mkdir()
    (other / LOCK_NAME).touch()
    os.utime(old, (0, 0))
    link = place / f"{PREFIX}link"
    link.symlink_to(other)
    remove_abandoned()
    assert {path.name for path in place.iterdir()} == {new.name, other.name, link.name}


def test_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    remove_abandoned()
    with pytest.raises(RequestError, match=r"no temporary folder can be made .*set TMPDIR"), scratch_folder():
        pass

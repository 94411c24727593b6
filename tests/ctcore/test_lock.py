"""One command at a time in a folder, seen from processes of their own where the system's locks are at work."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import FolderInUseError, OutputGoneError, RequestError
from ctcore.lock import LOCK_NAME, is_locked, locked, refuse_if_locked

HOLD = """
import sys, time
from pathlib import Path
from ctcore.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has locked `tmp_path / "out"`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_by_name(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    message = rf"'{tmp_path / 'out'}' is in use by process {holder.pid} on '.*'; wait until that has ended, or give"
    for _ in range(2):  # being refused changes nothing
        with pytest.raises(FolderInUseError, match=message), locked(tmp_path / "out"):
            pytest.fail("both have it")
    with pytest.raises(FolderInUseError, match=message):
        refuse_if_locked(tmp_path / "out")
    assert is_locked(tmp_path / "out")


def test_a_kill_leaves_nothing_locked(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "out" / LOCK_NAME).is_file()
    refuse_if_locked(tmp_path / "out")
    assert not is_locked(tmp_path / "out")
    with locked(tmp_path / "out"):
        assert is_locked(tmp_path / "out")
        assert f"process {os.getpid()} " in (tmp_path / "out" / LOCK_NAME).read_text()
    assert list((tmp_path / "out").iterdir()) == []
    assert not is_locked(tmp_path / "out")


def test_children_do_not_keep_it(tmp_path: Path) -> None:
    code = "import os, time\nif os.fork() == 0: time.sleep(30)\nelse: print(os.getpid(), flush=True); time.sleep(30)"
    code = HOLD.replace("time.sleep(60)", code.replace("\n", "\n    "))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    process.stdout.readline()
    try:
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the orphan


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with locked(tmp_path / "out"):
        refuse_if_locked(tmp_path / "out")  # by another process, it is not
        for path in (tmp_path / "out", tmp_path / "link"):
            with pytest.raises(FolderInUseError, match="in use by this very process"), locked(path):
                pytest.fail("locked twice")
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "out"):
        pass


@pytest.mark.parametrize("change", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_folder_that_goes_is_noticed(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    with locked(tmp_path / "out") as lock:
        lock.check()
        change(tmp_path / "out")
        for again in (False, True):
            if again:
                (tmp_path / "out").mkdir()
                (tmp_path / "out" / LOCK_NAME).touch()  # another command has begun there
            with pytest.raises(OutputGoneError, match="out' was removed or replaced while it was written to"):
                lock.check()
    assert (tmp_path / "out" / LOCK_NAME).is_file()  # the other one's


def test_of_many_that_begin_at_once_one_has_it(tmp_path: Path) -> None:
    """Each process locks, looks whether it is alone, and unlocks, again and again."""
    code = """
import sys, time
from pathlib import Path
from ctcore.errors import FolderInUseError
from ctcore.lock import locked
folder, got, end = Path(sys.argv[1]), 0, time.monotonic() + 1
while time.monotonic() < end:
    try:
        with locked(folder):
            (folder / "alone").touch(exist_ok=False)
            (folder / "alone").unlink()
            got += 1
    except FolderInUseError:
        pass
print(got)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert all(int(process.communicate()[0]) > 0 for process in processes)
    assert all(process.returncode == 0 for process in processes)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="file' cannot be written"), locked(tmp_path / "file"):
        pytest.fail("a file is no folder")


def refuse_locks(number: int) -> Callable[..., None]:
    def lockf(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return lockf


def test_a_disk_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fcntl, "lockf", refuse_locks(errno.ENOLCK))
    with locked(tmp_path) as lock:
        lock.check()
    assert "knows no locks" in caplog.text
    monkeypatch.setattr(fcntl, "lockf", refuse_locks(errno.EIO))
    with pytest.raises(RequestError, match="Input/output error"), locked(tmp_path):
        pytest.fail("locked nothing")


def test_nothing_depends_on_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK_NAME, (2**33, 2**33))
        with pytest.raises(FolderInUseError), locked(tmp_path):
            pytest.fail("an old lock is a lock")

"""Bytes are on the disk before they have a name; what the system refuses is one line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ctcore.durable import flush, is_writable, remove_partials, write_atomic, write_text, writing
from ctcore.errors import CaseError, OutputError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bool]] = []

    def fsync(number: int) -> None:
        seen.append((os.pread(number, 100, 0), (tmp_path / "a.txt").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "words")
    assert seen == [(b"words", False)]


def test_a_disk_that_fails_at_the_end_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "before")

    def fsync(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=r"a\.txt' cannot be written: Disk quota exceeded; free space within the quo"):
        write_text(tmp_path / "a.txt", "after")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_disk_that_knows_no_flushing_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "a").touch()
    flush(tmp_path / "a")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free space on its disk"),
        (errno.EACCES, "Permission denied; change the permissions of its folder"),
        (errno.EROFS, "Read-only file system; give a folder on a disk that can be written"),
        (errno.ENOENT, "No such file or directory; its folder was removed meanwhile"),
        (errno.EIO, "Input/output error; check its disk"),
    ],
)
def test_every_reason_has_its_advice(number: int, advice: str) -> None:
    with pytest.raises(CaseError) as told, writing(Path("a.txt")):
        raise OSError(number, os.strerror(number))
    assert str(told.value) == f"'a.txt' cannot be written: {advice}"
    assert isinstance(told.value, OSError)


def test_only_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / ".partial-folder").mkdir()
    for name in ("a.txt", ".partial-x.nii.gz", "below/.partial-y"):
        (tmp_path / name).touch()
    (tmp_path / ".partial-link").symlink_to(tmp_path / "nowhere")
    remove_partials(tmp_path, tmp_path / "nowhere")
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"a.txt", "below", "below/.partial-y", ".partial-folder"}


@pytest.mark.parametrize("error", [ValueError("stopped"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [None, "old"])
def test_a_write_that_fails_changes_nothing(tmp_path: Path, error: BaseException, existing: str | None) -> None:
    path = tmp_path / "a.txt"
    if existing is not None:
        path.write_text(existing)

    def half(partial: Path) -> None:
        assert partial.parent == tmp_path
        assert partial.name.startswith(".partial-")
        partial.write_text("half of")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, half)
    assert names_in(tmp_path) == ([] if existing is None else ["a.txt"])
    if existing is not None:
        assert path.read_text() == existing


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.json"])
def test_the_file_appears_when_it_is_complete(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / "folder" / name

    def fill(partial: Path) -> None:
        assert partial.name.endswith(name[1:])
        partial.write_text("whole")
        assert not path.exists()

    write_atomic(path, fill)
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names_in(path.parent) == [name]


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Größe\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe\n".encode()


def test_is_writable(tmp_path: Path) -> None:
    assert is_writable(tmp_path)
    assert names_in(tmp_path) == []
    (tmp_path / "file").touch()
    assert not is_writable(tmp_path / "file")
    assert not is_writable(tmp_path / "nowhere")

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctcore.inference.backends import compiled_cache
from ctcore.inference.backends.compiled_cache import (
    ABANDONED_SECONDS,
    SUFFIX,
    CompiledCache,
    user_cache,
    user_cache_folder,
)

COMPILED = bytes(range(256)) * 40


def loaded(cache: CompiledCache, key: str) -> bytes | None:
    found = cache.load(key)
    return None if found is None else bytes(found)


def test_what_was_stored_is_found_after_a_restart(tmp_path: Path) -> None:
    CompiledCache(tmp_path / "new").store("a", memoryview(COMPILED))
    assert loaded(CompiledCache(tmp_path / "new"), "a") == COMPILED
    assert loaded(CompiledCache(tmp_path / "new"), "b") is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"a{SUFFIX}"]


@pytest.mark.parametrize("place", [0, 5000, len(COMPILED) - 1, len(COMPILED), len(COMPILED) + 31])
def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture) -> None:
    cache = CompiledCache(tmp_path)
    cache.store("a", memoryview(COMPILED))
    damaged = bytearray((tmp_path / f"a{SUFFIX}").read_bytes())
    damaged[place] ^= 1
    (tmp_path / f"a{SUFFIX}").write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        assert cache.load("a") is None
        assert cache.load("a") is None
    assert [record.message.count("compiled anew") for record in caplog.records] == [1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, len(COMPILED), len(COMPILED) + 31])
def test_a_cut_file_is_noticed_whatever_its_length(tmp_path: Path, length: int) -> None:
    cache = CompiledCache(tmp_path)
    cache.store("a", memoryview(COMPILED))
    (tmp_path / f"a{SUFFIX}").write_bytes((tmp_path / f"a{SUFFIX}").read_bytes()[:length])
    assert cache.load("a") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_under_another_files_name_is_noticed(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    cache.store("a", memoryview(COMPILED))
    (tmp_path / f"a{SUFFIX}").rename(tmp_path / f"b{SUFFIX}")
    assert cache.load("b") is None


def test_the_files_used_the_longest_ago_go_first(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path, limit_bytes=3 * (len(COMPILED) + 32))
    for age, key in enumerate(("c", "b", "a")):
        cache.store(key, memoryview(COMPILED))
        then = time.time() - 1000 + 10 * age
        os.utime(tmp_path / f"{key}{SUFFIX}", (then, then))
    cache.load("c")  # stored first, used last
    cache.store("d", memoryview(COMPILED))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]


def test_the_latest_stays_though_it_is_beyond_the_limit_alone(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path, limit_bytes=10)
    cache.store("a", memoryview(COMPILED))
    cache.store("b", memoryview(COMPILED))
    assert [path.stem for path in tmp_path.iterdir()] == ["b"]


def test_partial_files_go_once_their_writer_must_be_gone(tmp_path: Path) -> None:
    for name, age in ((".partial-old", ABANDONED_SECONDS + 60), (".partial-new", 0.0)):
        (tmp_path / f"{name}{SUFFIX}").write_bytes(b"half")
        then = time.time() - age
        os.utime(tmp_path / f"{name}{SUFFIX}", (then, then))
    (tmp_path / "note.txt").write_text("not ours")
    CompiledCache(tmp_path, limit_bytes=10).store("a", memoryview(COMPILED))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".partial-new{SUFFIX}", f"a{SUFFIX}", "note.txt"]


def test_several_at_once_see_whole_files_or_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work(_: int) -> set[bytes | None]:
        cache = CompiledCache(tmp_path)
        seen = set()
        for _ in range(30):
            cache.store("a", memoryview(COMPILED))
            seen.add(loaded(cache, "a"))
        return seen

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(work, range(4))) == {COMPILED}
    assert caplog.text == ""
    assert [path.name for path in tmp_path.iterdir()] == [f"a{SUFFIX}"]


def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = CompiledCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING):
        for key in ("a", "b"):
            assert cache.load(key) is None
            cache.store(key, memoryview(COMPILED))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "every start compiles anew" in caplog.text
    assert str(tmp_path / "file") in caplog.text


def test_a_read_only_folder_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CompiledCache(tmp_path)
    cache.store("a", memoryview(COMPILED))

    def refuse(*_: object, **__: object) -> None:  # permissions would not stop a superuser
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(compiled_cache, "write_atomic", refuse)
    for name in ("touch", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    with caplog.at_level(logging.WARNING):
        assert loaded(cache, "a") == COMPILED
        for key in ("b", "c"):
            cache.store(key, memoryview(COMPILED))
    assert [record.message.count("Permission denied") for record in caplog.records] == [1]
    (tmp_path / f"a{SUFFIX}").write_bytes(b"damaged, and it cannot be removed")
    assert cache.load("a") is None


def test_the_default_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert user_cache_folder() == tmp_path / ".cache" / "ctcore" / "compiled"


def test_no_home_is_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    user_cache.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert user_cache() is None
            assert user_cache() is None
        assert [record.message.count("Could not determine home") for record in caplog.records] == [1]
    finally:
        user_cache.cache_clear()

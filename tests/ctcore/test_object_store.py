"""Folders of object storage against a server on this machine: what is in them, copies, and one line for each fault."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctcore.errors import OutputError, RequestError, UnreadableImageError
from ctcore.object_client import file_system
from ctcore.object_store import ObjectFolder, place_of
from tests.object_server import ObjectServer


def test_places() -> None:
    assert place_of("scans/a.nii.gz") == Path("scans/a.nii.gz")
    assert place_of("S3://bucket/cts/") == ObjectFolder("s3", "bucket/cts")
    assert str(place_of("gs://bucket")) == "gs://bucket"
    folder = ObjectFolder("s3", "bucket/cts")
    assert (str(folder / "a b"), folder.name, folder.parent) == (
        "s3://bucket/cts/a b",
        "cts",
        ObjectFolder("s3", "bucket"),
    )
    assert folder.parent.parent == folder.parent


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "http://host/cts",
            "'http://host/cts' is on no object storage that is known; use s3://, gs://, az:// or a fol",
        ),
        ("s3://", "'s3://' is no place in a bucket; write for instance s3://bucket/folder"),
        ("s3://bucket//cts", "is no place in a bucket"),
        ("s3://bucket/../cts", "is no place in a bucket"),
        ("s3://bucket/a\nb", "is no place in a bucket"),
    ],
)
def test_urls_of_nothing(url: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        place_of(url)


@pytest.mark.parametrize(
    "url", ["s3://me:geheim@bucket/cts", "s3://bucket/cts?X-Amz-Signature=geheim", "ftp://a:geheim@b"]
)
def test_secrets_in_urls_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(RequestError, match="holds a user, a password or a signature") as refused:
        place_of(url)
    assert "geheim" not in str(refused.value)


def test_what_is_in_a_folder(object_server: ObjectServer, tmp_path: Path) -> None:
    folder = object_server.new_bucket() / "cts"
    names = ["a.nii.gz", "b c%20d [1]*.mha", "Grün.nii", "deep/er/x.bin"]
    object_server.put(folder, {name: name.encode() for name in names})
    object_server.put(folder.parent, {"cts2/other": b"", "beside": b""})
    objects, folders = folder.entries()
    assert [(one.name, one.size) for one in objects] == [(name, len(name.encode())) for name in sorted(names[:3])]
    assert len({one.version for one in objects}) == 3
    assert folders == ["deep"]
    assert folder.names() == set(names)
    found = objects[1]
    assert found.name == "a.nii.gz"
    assert folder.find("a.nii.gz") == (folder / "a.nii.gz").itself() == found
    assert folder.itself() is None
    folder.fetch_all(names, tmp_path)
    assert all((tmp_path / name).read_bytes() == name.encode() for name in names)
    assert folder.begins_with("a.nii.gz", 3) == b"a.n"
    object_server.put(folder, {"a.nii.gz": b"another "})
    assert folder.find("a.nii.gz").version != found.version


def test_what_is_stored_and_removed(object_server: ObjectServer, tmp_path: Path) -> None:
    folder = object_server.new_bucket() / "results"
    assert folder.names() == set()
    assert folder.entries(there=False) == ([], [])
    large = bytes(12 << 20)
    for name, content in {"one": b"1", "two/three": large}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    folder.store_all(tmp_path, ["one", "two/three"])
    folder.write("small", b"s")
    assert object_server.contents(folder) == {"one": b"1", "two/three": large, "small": b"s"}
    assert (folder.read("small"), folder.read("nothing")) == (b"s", None)
    assert folder.create("new", b"first") is True
    assert folder.create("new", b"second") is False
    assert folder.read("new") == b"first"
    refused = [501]
    object_server.fault = lambda method, path: refused.pop() if method == "PUT" and refused else None
    assert folder.create("new", b"third") is True
    assert folder.read("new") == b"third"
    folder.remove(["one", "nothing", "small", "two/three"])
    assert folder.names() == {"new"}
    before = folder.written_at("new")
    assert before is not None
    assert folder.now() >= before
    assert folder.written_at("nothing") is None
    assert folder.names() == {"new"}


def calls(folder: ObjectFolder, tmp_path: Path) -> dict[str, tuple[type[Exception], Callable[[], Any]]]:
    """Returns what can be asked of a store, and what it raises."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    return {
        "read": (RequestError, folder.itself),
        "listed": (RequestError, folder.entries),
        "'a' cannot be read": (UnreadableImageError, lambda: folder.fetch("a", tmp_path / "a")),
        "'a' cannot be read: ": (UnreadableImageError, lambda: folder.find("a")),
        "/a' cannot be written": (OutputError, lambda: folder.store(file, "a")),
        "/a' cannot be removed": (OutputError, lambda: folder.remove(["a"])),
        "cannot be written": (RequestError, folder.now),
    }


def test_a_bucket_without_rights(object_server: ObjectServer, tmp_path: Path) -> None:
    folder = object_server.new_bucket() / "cts"
    object_server.fault = lambda method, path: 403
    for what, (kind, call) in calls(folder, tmp_path).items():
        with pytest.raises(kind, match=what) as refused:
            call()
        assert str(refused.value).endswith("access is denied; check the credentials, and what they may do there")


def test_no_such_bucket(object_server: ObjectServer) -> None:
    del object_server
    folder = ObjectFolder("s3", "nowhere/cts")
    for call in (folder.itself, folder.entries, folder.now):
        with pytest.raises(
            RequestError, match=r"^'s3://nowhere/cts' cannot be .* there is no such bucket, or nothing of"
        ):
            call()


@pytest.mark.usefixtures("object_server")
def test_an_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(
            RequestError, match=r"'s3://bucket/cts' cannot be read: the store does not answer; check the"
        ):
            ObjectFolder("s3", "bucket/cts").itself()


@pytest.mark.usefixtures("object_server")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RequestError, match="no valid credentials were found; set AWS_PROFILE"):
        ObjectFolder("s3", "bucket/cts").itself()


@pytest.mark.parametrize(
    ("scheme", "advice"), [("s3", r"'ct-lesion-pipeline\[s3\]'"), ("gs", "gcsfs"), ("az", "adlfs")]
)
def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, scheme: str, advice: str) -> None:
    file_system.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=rf"'{scheme}://' needs \w+; install it with: pip install {advice}$"):
        ObjectFolder(scheme, "bucket/cts").itself()


def test_a_fault_that_passes_is_tried_again(object_server: ObjectServer, tmp_path: Path) -> None:
    folder = object_server.new_bucket() / "cts"
    object_server.put(folder, {"a": b"whole"})
    faults = [500]
    object_server.fault = lambda method, path: faults.pop() if faults else None
    folder.fetch("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert faults == []

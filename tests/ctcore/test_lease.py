"""One command at a time in a folder of object storage, also where the one before was killed."""

from __future__ import annotations

import json
import time

import pytest

from ctcore import lease as leases
from ctcore.errors import FolderInUseError, OutputGoneError, RequestError
from ctcore.lease import LEASE_NAME, leased
from ctcore.object_store import ObjectFolder
from tests.object_server import ObjectServer

BRIEF = 1.0


@pytest.fixture
def folder(object_server: ObjectServer) -> ObjectFolder:
    """A folder of an empty bucket."""
    return object_server.new_bucket() / "results"


def test_a_second_command_is_refused_until_the_first_has_ended(folder: ObjectFolder) -> None:
    with leased(folder) as lease:
        lease.check()
        said = (
            rf"^'{folder}' is in use by process \d+ on '.+'; if that was killed, its lease runs out at \d\d:\d\d:\d\d"
            r" \(UTC\); wait until that has ended, or give another folder$"
        )
        with pytest.raises(FolderInUseError, match=said), leased(folder):
            pass
        lease.check()
        assert folder.names() == {LEASE_NAME}
    assert folder.names() == set()
    with leased(folder):
        pass


def test_a_lease_is_renewed(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", BRIEF)
    with leased(folder) as lease:
        time.sleep(2 * BRIEF)
        lease.check()
        with pytest.raises(FolderInUseError), leased(folder):
            pass


def test_a_killed_commands_lease_runs_out(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SETTLING_SECONDS", 0.1)
    left = json.dumps({"holder": "process 7 on 'there'", "seconds": BRIEF, "token": "x"}).encode()
    folder.write(LEASE_NAME, left)
    with pytest.raises(FolderInUseError, match="process 7 on 'there'"), leased(folder):
        pass
    time.sleep(BRIEF + 1.1)  # stores tell whole seconds
    with leased(folder) as lease:
        lease.check()
        assert folder.read(LEASE_NAME) != left
    assert folder.names() == set()


@pytest.mark.parametrize("content", [b"", b"[]", b"no lease", b'{"holder": "x"}'])
def test_what_is_no_lease_holds_as_long_as_one(folder: ObjectFolder, content: bytes) -> None:
    folder.write(LEASE_NAME, content)
    with pytest.raises(FolderInUseError, match="is in use by another command; if that was killed"), leased(folder):
        pass


def test_a_lease_that_another_has_taken_ends_the_command(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", BRIEF)
    with leased(folder) as lease:
        folder.write(LEASE_NAME, b"another's")
        time.sleep(BRIEF)
        with pytest.raises(OutputGoneError, match="was removed, or taken by another command; nothing more is written"):
            lease.check()
    assert folder.read(LEASE_NAME) == b"another's"


def test_a_lease_that_cannot_be_renewed_ends_the_command(
    folder: ObjectFolder, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", BRIEF)
    with leased(folder) as lease:
        object_server.fault = lambda method, path: 403
        time.sleep(BRIEF + 0.5)
        with pytest.raises(OutputGoneError, match=r"could not be renewed for 1 s; nothing more is written"):
            lease.check()


def test_two_that_take_over_at_once_find_out(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(LEASE_NAME, json.dumps({"holder": "the dead", "seconds": 0, "token": "x"}).encode())
    time.sleep(1.1)
    winner = json.dumps({"holder": "the faster", "seconds": 60, "token": "y"}).encode()
    monkeypatch.setattr(time, "sleep", lambda _: folder.write(LEASE_NAME, winner))
    with pytest.raises(FolderInUseError, match="is in use by the faster; wait until"), leased(folder):
        pass


def test_an_answer_that_was_lost(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has written the lease, and the client, which was not told, asks again."""

    def create(self: ObjectFolder, name: str, content: bytes) -> bool:
        self.write(name, content)
        return False

    monkeypatch.setattr(ObjectFolder, "create", create)
    with leased(folder) as lease:
        lease.check()


def test_a_store_without_conditional_writes(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ObjectFolder, "create", lambda self, name, content: self.write(name, content) is None)
    with leased(folder) as lease:
        with pytest.raises(FolderInUseError), leased(folder):
            pass
        lease.check()


def test_a_folder_without_rights(folder: ObjectFolder, object_server: ObjectServer) -> None:
    object_server.fault = lambda method, path: 403
    with pytest.raises(RequestError, match="access is denied"), leased(folder):
        pass

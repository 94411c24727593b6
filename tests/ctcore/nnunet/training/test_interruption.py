"""SIGTERM and Ctrl-C end a block with one line."""

from __future__ import annotations

import os
import signal

import pytest

from ctcore.nnunet.training.interruption import stoppable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("rank", ["0", "1"])
def test_stopped(number: int, rank: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as stop, stoppable():
        os.kill(os.getpid(), number)
    assert stop.value.code == 130
    expected = "stopped: run the same command again to go on after the last finished epoch\n" if rank == "0" else ""
    assert capsys.readouterr().err == expected
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), stoppable():
        raise ZeroDivisionError

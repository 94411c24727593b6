"""The command `pipeline view`: it tells its address, serves, and ends in order at Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen


def test_the_address_is_told_and_ctrl_c_ends_it(output: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "view", str(output), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urlopen(address) as answer:
            assert b"<canvas" in answer.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_no_run_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "view", str(tmp_path), "--no-browser"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    line = f"error: '{tmp_path}' holds no run.json; give the output of 'pipeline run'\n"
    assert (answer.returncode, answer.stderr) == (2, line)

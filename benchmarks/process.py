"""`pipeline run` as a process of its own, with its time and its peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcore.errors import RequestError
from ctcore.json_files import read_json

EXIT_BAD_REQUEST = 2
BYTES_PER_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Unit of the peak memory that the system reports."""


@dataclass(frozen=True)
class Finished:
    """A `pipeline run` that has ended.

    Attributes:
        output: its output folder.
        exit_code: 0 all cases done, 1 some failed.
        wall_seconds: time of the whole process, start and loading included.
        peak_gib: largest resident memory of the process.
    """

    output: Path
    exit_code: int
    wall_seconds: float
    peak_gib: float

    def run_record(self) -> dict[str, Any]:
        """Reads its `run.json`."""
        value: dict[str, Any] = read_json(self.output / "run.json")
        return value

    def case_records(self) -> list[dict[str, Any]]:
        """Reads every `cases/CASE.json`, by case id."""
        return [read_json(path) for path in sorted((self.output / "cases").glob("*.json"))]


def run_pipeline(
    source: Path, output: Path, bundle: Path | None, extra: Sequence[str] = (), module: str = "pipeline"
) -> Finished:
    """Runs `pipeline run` on a folder of CTs, or on one CT.

    Args:
        source: the input.
        output: its output; cases finished there by the same bundle are kept.
        bundle: model bundle; None for the one that comes with the package.
        extra: further options.
        module: the module whose command line is run.

    Raises:
        RequestError: the command refused the request, or ended by a signal.
    """
    command = [sys.executable, "-m", module, "run", "--input", str(source), "--output", str(output), *extra]
    if bundle is not None:
        command += ["--bundle", str(bundle)]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, not by subprocess
    if process.returncode < 0 or process.returncode >= EXIT_BAD_REQUEST:
        raise RequestError(f"'{' '.join(command)}' ended with exit code {process.returncode}; see its message above")
    return Finished(output, process.returncode, seconds, usage.ru_maxrss * BYTES_PER_MAXRSS / 2**30)

"""A way from CTs to detection maps, run in a fresh process: what is kept of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.process import BYTES_PER_MAXRSS
from ctcore.errors import RequestError

STAGE1_NETWORK, NETWORK = "stage 1 network", "network"
PHASES = ("read", "stage 1", STAGE1_NETWORK, "preprocess", NETWORK, "to grid", "candidates", "measure", "write")
"""Of a case, in order; `stage 1` is all of it but its network."""

KIB_PER_GIB = 2**20


class FlowRecord(BaseModel):
    """What one process did.

    Attributes:
        flow: `reference`, `exact` or `guided`.
        execution: device, backend and precision, and what else the run says of it.
        seconds: of the last case, by phase; loading the networks is not among them.
        windows: times that the networks of stage 1 and 2 were run for it, folds and mirrors counted.
        start_up_seconds: from the start of the process until both networks are ready; None if one case does not tell.
        finished_seconds: from the start of the process until each case was finished.
        beside_seconds: of the last case, by the clock, in which what is given to the flow was made.
        peak_gib: largest resident memory of the process.
        load_average: threads that wanted a core in the last minute, its own among them: where they are more than the
            cores, other work took part of the machine, and seconds say little.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    execution: dict[str, str | int | None]
    seconds: dict[str, float]
    windows: tuple[int, int]
    start_up_seconds: float | None
    finished_seconds: tuple[float, ...]
    beside_seconds: float = 0.0
    peak_gib: float
    load_average: float

    @property
    def total(self) -> float:
        """Seconds of the last case."""
        return sum(self.seconds.values())

    @property
    def around(self) -> float:
        """Seconds of the last case outside the networks."""
        return self.total - self.seconds[NETWORK] - self.seconds[STAGE1_NETWORK]

    @property
    def seconds_apart(self) -> float | None:
        """Seconds between the first case's end and the last's, by case; None for one case."""
        ends = self.finished_seconds
        return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None

    @property
    def beyond(self) -> float | None:
        """Seconds that a case adds to the run beyond its networks, by the clock: what overlaps costs once.

        None for one case.
        """
        if self.seconds_apart is None:
            return None
        return self.seconds_apart - self.seconds[NETWORK] - self.seconds[STAGE1_NETWORK] - self.beside_seconds


class Stopwatch:
    """Adds up time by phase."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures what is done inside."""
        begin = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begin


def own_peak_gib() -> float:
    """Returns the largest resident memory of this process so far.

    Linux also counts, for what `getrusage` reports, the process that started this one; the kernel's own mark does not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_MAXRSS / 2**30
    return next(int(line.split()[1]) / KIB_PER_GIB for line in lines if line.startswith("VmHWM:"))


def cores() -> int:
    """Returns how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_flow(module: str, arguments: Sequence[str], folder: Path, home: Path) -> FlowRecord:
    """Runs a flow in a fresh process.

    Args:
        module: of this package; writes its record to what `--record` says.
        arguments: its further arguments.
        folder: for record and console output.
        home: home folder of the process, which caches of compiled networks are kept in.

    Raises:
        RequestError: the flow ended with an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    record, log = (folder / "record.json").resolve(), folder / "console.log"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    command += ["--record", str(record), "--started", repr(time.time())]
    with log.open("w") as console:
        status = subprocess.run(
            command, check=False, env=environment(home), stdout=console, stderr=subprocess.STDOUT
        ).returncode
    if status or not record.is_file():
        raise RequestError(f"'{' '.join(command)}' ended with exit code {status}; '{log}' says why")
    return FlowRecord.model_validate_json(record.read_text())


def environment(home: Path) -> Mapping[str, str]:
    """Returns the environment of a flow: its own home, and all processors for nnU-Net, which reads this at import."""
    return os.environ | {
        "HOME": str(home.resolve()),
        "XDG_CACHE_HOME": str(home.resolve() / ".cache"),
        "nnUNet_def_n_proc": str(cores()),
    }

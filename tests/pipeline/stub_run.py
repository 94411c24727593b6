"""`pipeline run` on the fake stages in processes of its own, which may be killed, and what it leaves behind."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

# What a run imports on its way: processes that are forked from the one that preloads this need not.
import rich.markup
import rich.progress
import rich.table
import scipy.ndimage
import SimpleITK
import skimage.measure
import threadpoolctl

import ctcore.detection.by_class
import ctcore.detection.components
import ctcore.inference.backends.choose as backends
import pipeline.run
import pipeline.stages
import pipeline.told
from ctcore.inference.backends.choose import Execution
from pipeline.cli import app
from pipeline.stages import Stages
from tests.apart import APART
from tests.pipeline.conftest import FakeLocalizer, FakePredictor

PRELOADED = (rich, scipy, SimpleITK, skimage, threadpoolctl, ctcore)

SECONDS = 300
"""Longer than any process here should need on a busy machine."""

CHANGES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate"})
"""What Python's audit hooks tell of a file before it happens, as far as that may change the disk."""
FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Request:
    """A `pipeline run`.

    Attributes:
        cohort: folder of CTs.
        bundle: folder of a bundle.
        output: where it writes.
        options: further options.
    """

    cohort: Path
    bundle: Path
    output: Path
    options: tuple[str, ...] = ("--no-report",)

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        places = ("--input", str(self.cohort), "--output", str(self.output), "--bundle", str(self.bundle))
        return ["run", *places, *self.options]


@dataclass
class Outcome:
    """How a run has ended: its exit code, and what it has said."""

    code: int
    stdout: str
    stderr: str


def run_here(request: Request, stages: Stages | None = None) -> Outcome:
    """Runs in this process; no library of networks is imported."""
    return command_here(request.arguments, stages)


def command_here(arguments: list[str], stages: Stages | None = None) -> Outcome:
    """Runs a command line in this process; no library of networks is imported."""
    made = stages or Stages(FakeLocalizer(), FakePredictor())
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(pipeline.stages, "load_stages", return_value=made),
        mock.patch.object(backends, "resolve", _resolve),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = app(arguments, standalone_mode=False)
    return Outcome(int(code or 0), out.getvalue(), err.getvalue())


def _resolve(*_: str, deterministic: bool = False) -> Execution:
    return Execution("cpu", "openvino", "fp32", 1, deterministic)


@dataclass
class Watch:
    """Counts changes below a folder, and does something at one of them.

    Attributes:
        folder: whose changes count.
        at: the number of the change, from 1.
        act: what is done, before it happens.
        lasting: whether it is done at every later change too.
    """

    folder: Path
    at: int
    act: Callable[[], None]
    lasting: bool = False
    count: int = field(default=0, init=False)
    on: bool = field(default=True, init=False)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or event not in CHANGES or not str(arguments[0]).startswith(str(self.folder)):
            return
        if event == "open" and not (int(arguments[2]) & FOR_WRITING):
            return
        self.count += 1
        if self.count == self.at or (self.lasting and self.count > self.at):
            self.act()


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[Watch]:
    """Watches for the length of a block; the process should not live much longer, as its hook stays."""
    sys.addaudithook(watch)
    try:
        yield watch
    finally:
        watch.on = False


def full_disk() -> None:
    """What a write meets on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die() -> None:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def apart(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """Calls a function in a process of its own; returns its exit code and answer (None where it was killed)."""
    reader, writer = APART.Pipe(duplex=False)
    process = APART.Process(target=_answer, args=(writer, function, *arguments))
    process.start()
    writer.close()
    try:
        answer = reader.recv() if reader.poll(SECONDS) else None
    except EOFError:
        answer = None
    process.join(SECONDS)
    return int(process.exitcode or 0), answer


def _answer(writer: Any, function: Callable[..., Any], *arguments: Any) -> None:
    writer.send(function(*arguments))


def run_and_die(request: Request, at: int) -> None:
    """Runs until a change on the disk, before which the process is killed."""
    with watching(Watch(request.output, at, die)):
        run_here(request)


def changes_of(request: Request) -> int:
    """Runs, and returns how many changes it makes."""
    with watching(Watch(request.output, 0, die)) as watch:
        assert run_here(request).code == 0
    return watch.count


def run_on_a_full_disk(request: Request, at: int, lasting: bool) -> Outcome:
    """Runs on a disk that is full at a change, or from it on."""
    with watching(Watch(request.output, at, full_disk, lasting)):
        return run_here(request)


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Returns every file but the log, by its name relative to the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.log"
    }

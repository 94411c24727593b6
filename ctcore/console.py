"""What every command line shares: one-line errors, exit codes, progress bars with the time left."""

from __future__ import annotations

import contextlib
import multiprocessing.util
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from ctcore.errors import PipelineError, RequestError, first_line
from ctcore.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_REQUEST = 2
EXIT_INTERRUPTED = 130
"""What shells report for a command that Ctrl-C has stopped; ours also give it where SIGTERM has."""


class OneLineGroup(TyperGroup):
    """A command group whose every fault is one line on stderr: `error: what, what to do`; never a traceback.

    Exit codes: 2 for a wrong request (also unknown options and option values), 1 for whatever else stopped the work,
    130 after Ctrl-C and SIGTERM, which end a command in order.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line and leaves with its exit code."""
        try:
            with sigterm_like_ctrl_c():
                code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except RequestError as error:
            code = _say(first_line(error), EXIT_BAD_REQUEST)
        except PipelineError as error:
            code = _say(first_line(error), EXIT_SOME_FAILED)
        except Exception as error:  # the console never shows a traceback
            format_message = getattr(error, "format_message", None)  # the command line's own usage errors
            if format_message is not None:
                code = _say(" ".join(str(format_message()).split()), EXIT_BAD_REQUEST)
            else:
                code = _say(f"unexpected {type(error).__name__}: {first_line(error)}", EXIT_SOME_FAILED)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """Lets SIGTERM, which batch systems send before they kill, raise KeyboardInterrupt in a block as Ctrl-C does.

    Only a process's main thread can choose that; in another one nothing changes. Worker processes, which pools end by
    this signal and then wait for, end by it as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    multiprocessing.util.register_after_fork(_interrupt, _end_by_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_by_sigterm(_: object) -> None:
    """Gives SIGTERM its own meaning back, in a worker that was forked; does nothing where it has it."""
    if signal.getsignal(signal.SIGTERM) is _interrupt:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"error: {printable(message)}\n")
    return code


def progress_columns(out: Console | None = None) -> Progress:
    """Returns a progress bar with counts, time elapsed and time left, on a console; stdout and stderr stay alone."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        # The stream of now: it stays visible where stdout is redirected later.
        console=out or Console(file=sys.stdout),
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextlib.contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar while the block runs and yields `report(done, total)`."""
    with progress_columns() as bar:
        task = bar.add_task(description, total=None, note="")

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


@contextlib.contextmanager
def training_progress(description: str) -> Iterator[TrainingReport]:
    """Shows a bar of epochs with the last epoch's figures while the block runs."""
    with progress_columns() as bar:
        yield TrainingReport(description, bar, bar.add_task(description, total=None, note=""))


class TrainingReport:
    """Called with `(done, total, figures)` after each epoch.

    Args:
        description: what is trained.
        bar: the bar.
        task: its line.
    """

    def __init__(self, description: str, bar: Progress, task: TaskID) -> None:
        self._description, self._bar, self._task = description, bar, task

    def __call__(self, done: int, total: int, figures: dict[str, float]) -> None:
        """Shows how far the training is."""
        note = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self._bar.update(self._task, completed=done, total=total, note=note)
        if not self._bar.console.is_terminal:
            self.say(f"{self._description}: epoch {done}/{total}  {note}")

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

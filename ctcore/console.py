"""What every command line shares: one-line errors, exit codes, progress bars with the time left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ctcore.errors import PipelineError, RequestError, first_line

if TYPE_CHECKING:
    import typer
    from rich.progress import Progress

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_REQUEST = 2


def run_app(app: typer.Typer) -> None:
    """Runs a command line; a fault of the request or of the data ends as one line on stderr, never as a traceback."""
    try:
        app()
    except RequestError as error:
        fail(error, EXIT_BAD_REQUEST)
    except (PipelineError, OSError) as error:
        fail(error, EXIT_SOME_FAILED)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; run the same command again to go on\n")
        sys.exit(130)


def fail(error: BaseException, code: int) -> None:
    """Writes an error as one line to stderr and leaves with an exit code."""
    sys.stderr.write(f"error: {first_line(error)}\n")
    sys.exit(code)


def progress_columns() -> Progress:
    """Returns a progress bar with counts, elapsed time and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
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
def training_progress(description: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Shows a bar of epochs with the last epoch's figures and yields `report(done, total, figures)`."""
    with progress_columns() as bar:
        task = bar.add_task(description, total=None, note="")

        def report(done: int, total: int, figures: dict[str, float]) -> None:
            note = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            bar.update(task, completed=done, total=total, note=note)
            if not bar.console.is_terminal:
                bar.console.print(f"{description}: epoch {done}/{total}  {note}")

        yield report

"""Exit codes and one-line errors of every command line; what the progress bars report."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Event

import pytest
import typer

from ctcore import console
from ctcore.console import OneLineGroup, progress, progress_columns, training_progress
from ctcore.errors import BundleError, CaseError, PipelineError, RequestError

FAULTS: dict[str, BaseException] = {
    "request": RequestError("'x' does not exist; give a folder\nsecond line"),
    "bundle": BundleError("bundle 'b' is damaged"),
    "case": CaseError("case 'c' cannot be used"),
    "base": PipelineError("it stopped"),
    "bug": ZeroDivisionError("division by zero\nand more"),
    "silent": ValueError(),
    "interrupt": KeyboardInterrupt(),
    "failed": typer.Exit(1),
}

app = typer.Typer(cls=OneLineGroup, pretty_exceptions_enable=False)


@app.command()
def go(fault: str = "", count: int = 0) -> None:
    """Fails as it is told to."""
    if fault:
        raise FAULTS[fault]
    typer.echo(f"done {count}")


@app.callback()
def _root() -> None:
    """Keeps one command a group."""


def leave(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        app(list(arguments))
    output = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, output.out, output.err


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("request", 2, "error: 'x' does not exist; give a folder\n"),
        ("bundle", 2, "error: bundle 'b' is damaged\n"),
        ("case", 1, "error: case 'c' cannot be used\n"),
        ("base", 1, "error: it stopped\n"),
        ("bug", 1, "error: unexpected ZeroDivisionError: division by zero\n"),
        ("silent", 1, "error: unexpected ValueError: ValueError\n"),
        ("failed", 1, ""),
    ],
)
def test_a_fault_is_one_line_and_a_code(capsys: pytest.CaptureFixture[str], fault: str, code: int, line: str) -> None:
    assert leave(capsys, "go", "--fault", fault) == (code, "", line)


def test_ctrl_c_leaves_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = leave(capsys, "go", "--fault", "interrupt")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_sigterm_is_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), console.sigterm_like_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def begin_and_wait(begun: Event) -> None:
    begun.set()
    time.sleep(60)


def test_workers_end_by_sigterm_as_ever() -> None:
    """Pools end their workers by it and wait: one that went on would keep the command for ever."""
    with console.sigterm_like_ctrl_c():
        context = multiprocessing.get_context("fork")
        begun = context.Event()
        worker = context.Process(target=begin_and_wait, args=(begun,))
        worker.start()
        assert begun.wait(60)
        worker.terminate()
        worker.join(30)
    assert worker.exitcode == -signal.SIGTERM


def test_in_another_thread_signals_stay_as_they_are() -> None:
    seen: list[object] = []

    def look() -> None:
        with console.sigterm_like_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("go", "--wrong"), "--wrong"),
        (("go", "--count", "many"), "--count"),
        (("gone",), "'gone'"),
    ],
)
def test_a_usage_error_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], part: str
) -> None:
    code, out, err = leave(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert part in err
    assert err.count("\n") == 1


def test_what_ends_well_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(capsys, "go", "--count", "3") == (0, "done 3\n", "")


def test_help_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = leave(capsys, "--help")
    assert (code, err) == (0, "")
    assert "Fails as it is told to." in out


def test_progress_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bars = []

    def remembered() -> object:
        bars.append(progress_columns())
        return bars[-1]

    monkeypatch.setattr(console, "progress_columns", remembered)
    with progress("reading") as report:
        report(1, 4)
        report(3, 4)
    (task,) = bars[0].tasks
    assert (task.description, task.completed, task.total) == ("reading", 3, 4)
    assert "reading" in capsys.readouterr().out


def test_training_prints_every_epoch_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress("fold 0") as report:
        report(1, 2, {"loss": 0.5})
        report(2, 2, {"loss": 0.25, "dice": 0.8})
    out = capsys.readouterr().out
    assert "fold 0: epoch 1/2  loss 0.500" in out
    assert "fold 0: epoch 2/2  loss 0.250  dice 0.800" in out


def test_progress_leaves_prints_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("working"):
        print("a result")
    assert "a result\n" in capsys.readouterr().out

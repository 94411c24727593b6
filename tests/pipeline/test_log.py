"""The run's log takes what libraries print; the console does not see it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from pipeline.log import log_to


def test_chatter_goes_to_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = sys.stdout
    with log_to(tmp_path / "run.log"):
        print("Please cite\nthe following")
        sys.stderr.write("a library's complaint\n")
        warnings.warn("old function", stacklevel=1)
        logging.getLogger("pipeline.somewhere").info("own message")
        logging.getLogger("stranger").info("not worth a line")
        console.write("for the user\n")
    text = (tmp_path / "run.log").read_text()
    for part in ("Please cite", "the following", "complaint", "old function", "own message"):
        assert part in text
    assert "not worth a line" not in text
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("for the user\n", "")


def test_everything_is_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger("pipeline").level
    with pytest.raises(RuntimeError), log_to(tmp_path / "run.log"):
        raise RuntimeError
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("pipeline").level == level
    print("seen again")
    assert capsys.readouterr().out == "seen again\n"


def test_what_libraries_in_c_print_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with log_to(tmp_path / "run.log"):
        os.write(2, b"MetaImage: data not read completely\n")
    os.write(2, b"seen again\n")
    assert "not read completely" in (tmp_path / "run.log").read_text()
    assert capfd.readouterr().err == "seen again\n"

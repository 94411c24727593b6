"""Which fault is of which kind, and the one line it is told in."""

import inspect

import pytest

from ctcore import errors
from ctcore.errors import (
    CaseError,
    GeometryError,
    OutputGoneError,
    PipelineError,
    ProbabilityError,
    RequestError,
    TrainingError,
    first_line,
)


def classes() -> list[type[PipelineError]]:
    found = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, PipelineError)]
    return [value for value in found if value is not PipelineError]


@pytest.mark.parametrize("kind", classes())
def test_every_error_has_one_consequence(kind: type[PipelineError]) -> None:
    assert [issubclass(kind, base) for base in (RequestError, CaseError, TrainingError, OutputGoneError)].count(
        True
    ) == 1
    assert kind.__doc__


@pytest.mark.parametrize("kind", [GeometryError, ProbabilityError])
def test_wrong_values_are_value_errors_too(kind: type[PipelineError]) -> None:
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one  \ntwo"), "one  "),
        (ValueError(""), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RequestError("'x' does not exist"), "'x' does not exist"),
    ],
)
def test_first_line(error: BaseException, line: str) -> None:
    assert first_line(error) == line

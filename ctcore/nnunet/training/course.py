"""The course of a fold's training as one file: every epoch's figures, when it was interrupted, the best epoch.

TensorBoard has the same curves; this file is read without it, and says what they were computed with.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctcore.errors import RequestError, describe_validation, first_line
from ctcore.json_files import read_json, write_json
from ctcore.nnunet.training.fold_files import COURSE_NAME

SCHEMA_VERSION: Final = 1
LARGEST = 1e100
"""Figures beyond this are as little a place on a page as infinity."""

TRAINING_CASES, VALIDATION_CASES = "training cases", "validation cases"
"""Names of facts."""
UNKNOWN = "not recorded"

Figure = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Epoch = Annotated[int, Field(ge=0)]

logger = logging.getLogger(__name__)


class Session(BaseModel):
    """A run of the training: the first one, or one that went on after an interruption.

    Attributes:
        first_epoch: the epoch (from 0) that it began with.
        started: when, in UTC.
        facts: what it was computed with, and on which cases, by name.
    """

    model_config = ConfigDict(extra="forbid")

    first_epoch: Epoch
    started: str
    facts: dict[str, str] = {}


class Course(BaseModel):
    """What `epochs.json` holds.

    Attributes:
        schema_version: of the file.
        recipe: name of the recipe.
        fold: `0`, `1`, ... or `all`.
        epochs_at_most: epochs of the recipe.
        criterion: what the best epoch is best in.
        phantoms: whether cases are synthetic CTs.
        sessions: the runs, in order.
        epochs: the epochs (from 0) that are finished, rising.
        figures: by the name of the curve one value for each of `epochs`; None where the epoch has none.
        best_epoch: the best epoch so far (from 0); None before there can be one.
        best_quality: its value of the criterion.
        ended_by: what ended the last run before its time; None while it goes on, and of one that came to its end.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    recipe: str
    fold: str
    epochs_at_most: int
    criterion: str
    phantoms: bool
    sessions: list[Session] = []
    epochs: list[Epoch] = []
    figures: dict[str, list[Figure | None]] = {}
    best_epoch: Epoch | None = None
    best_quality: Figure | None = None
    ended_by: str | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if any(before >= after for before, after in zip(self.epochs, self.epochs[1:], strict=False)):
            raise ValueError("epochs do not rise")
        for name, values in self.figures.items():
            if len(values) != len(self.epochs):
                raise ValueError(f"figures.{name} has {len(values)} values for {len(self.epochs)} epochs")
        return self

    def cut(self, epoch: int) -> None:
        """Forgets an epoch (from 0) and all after it: they will be trained again."""
        kept = sum(number < epoch for number in self.epochs)
        self.epochs = self.epochs[:kept]
        shortened = {name: values[:kept] for name, values in self.figures.items()}
        self.figures = {name: values for name, values in shortened.items() if any(v is not None for v in values)}

    def add(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Adds an epoch's figures (the epoch from 0); what is no number, as the Dice of an absent label, is a gap."""
        before = len(self.epochs)
        self.epochs.append(epoch)
        for name, value in figures.items():
            shown = _shown(value)
            if shown is not None or name in self.figures:
                self.figures.setdefault(name, [None] * before).append(shown)
        for values in self.figures.values():
            values.extend([None] * (len(self.epochs) - len(values)))


def read_course(folder: Path) -> Course:
    """Reads a fold's course.

    Args:
        folder: the fold's folder.

    Raises:
        RequestError: the file is missing or damaged.
    """
    path = folder / COURSE_NAME
    try:
        return Course.model_validate(read_json(path))
    except ValidationError as error:
        raise RequestError(f"'{path}' is damaged: {describe_validation(error)}") from error


class CourseWriter:
    """Writes a fold's course while it trains; a resumed training goes on with it.

    A file that is damaged costs the epochs that it held, not the training.

    Args:
        folder: the fold's folder.
        course: what is known before the first epoch; sessions, epochs and figures come from the file, if there is one.
        epoch: the epoch (from 0) that the training begins with: what an interrupted run had written of it and of later
            ones is forgotten.
        facts: what this run computes with.
    """

    def __init__(self, folder: Path, course: Course, epoch: int, facts: Mapping[str, str]) -> None:
        self._path = folder / COURSE_NAME
        if epoch and self._path.exists():
            try:
                earlier = read_course(folder)
            except RequestError as error:
                logger.warning("the page of this training begins with epoch %d: %s", epoch, first_line(error))
            else:
                course = course.model_copy(
                    update={name: getattr(earlier, name) for name in ("sessions", "epochs", "figures")}
                    | {"phantoms": course.phantoms or earlier.phantoms}
                )
        self.course = course
        course.cut(epoch)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        course.sessions = [*course.sessions, Session(first_epoch=epoch, started=started, facts=dict(facts))]
        self._write()

    def add(self, epoch: int, figures: Mapping[str, float], best: tuple[int | None, float | None]) -> None:
        """Adds an epoch's figures and writes the file.

        Args:
            epoch: from 0.
            figures: by the names of their curves.
            best: the best epoch so far and its value of the criterion.
        """
        self.course.add(epoch, figures)
        best_epoch, quality = best
        self.course.best_epoch, self.course.best_quality = best_epoch, None if quality is None else _shown(quality)
        self._write()

    def end(self, reason: str) -> None:
        """Writes what ended the training before its time."""
        self.course.ended_by = reason
        self._write()

    def _write(self) -> None:
        write_json(self._path, self.course.model_dump(mode="json"))


def _shown(value: float) -> float | None:
    """Returns a figure as a place on a page; None where it has none."""
    return float(value) if math.isfinite(value) and abs(value) <= LARGEST else None

"""What has become of the folds of a recipe, as their folders tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcore.errors import RequestError, first_line
from ctcore.json_files import read_json
from ctcore.lock import is_locked
from ctcore.nnunet.training.course import Course, read_course
from ctcore.nnunet.training.fold_files import COURSE_NAME, RECIPE_NAME, WEIGHTS_NAME

PREFIX = "fold_"
TRAINED, IN_TRAINING, STOPPED = "trained", "in training", "stopped"


@dataclass(frozen=True)
class FoldState:
    """A fold that was begun.

    Attributes:
        folder: its folder.
        state: `trained`, `in training` or `stopped`.
        course: its epochs; None where there is no record of them, or a damaged one.
        fault: why there is no course; None where there is one.
        recipe: the recipe as trained; empty where it cannot be read.
    """

    folder: Path
    state: str
    course: Course | None
    fault: str | None
    recipe: Mapping[str, Any]

    @property
    def fold(self) -> str:
        """`0`, `1`, ... or `all`."""
        return self.folder.name.removeprefix(PREFIX)


def fold_state(folder: Path) -> FoldState:
    """Reads what a fold's folder tells; what is damaged is told, not raised."""
    course, fault = None, None
    if (folder / COURSE_NAME).exists():
        try:
            course = read_course(folder)
        except RequestError as error:
            fault = first_line(error)
    else:
        fault = f"there is no record of its epochs ('{COURSE_NAME}')"
    return FoldState(folder, _state(folder, course), course, fault, _recipe(folder))


def begun_folds(results: Path) -> list[FoldState]:
    """Returns the folds in the folder of a recipe's results that were begun, `all` last.

    Args:
        results: see `ctcore.nnunet.training.trained.results_folder`.
    """
    folders = [path.parent for path in results.glob(f"*/*/{PREFIX}*/{RECIPE_NAME}")]
    return [fold_state(folder) for folder in sorted(folders, key=_order)]


def _state(folder: Path, course: Course | None) -> str:
    if (folder / WEIGHTS_NAME).is_file():
        return TRAINED
    has_ended = course is not None and course.ended_by is not None  # the process that is about to end has the lock yet
    return IN_TRAINING if is_locked(folder) and not has_ended else STOPPED


def _order(folder: Path) -> tuple[bool, int, str]:
    fold = folder.name.removeprefix(PREFIX)
    number = int(fold) if fold.isascii() and fold.isdigit() else 0
    return not (fold.isascii() and fold.isdigit()), number, str(folder)


def _recipe(folder: Path) -> Mapping[str, Any]:
    try:
        values = read_json(folder / RECIPE_NAME)
    except RequestError:
        return {}
    return values if isinstance(values, dict) else {}

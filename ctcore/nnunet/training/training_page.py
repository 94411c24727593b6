"""A training as pages that open from the disk: one for a fold, one for all folds of a recipe side by side."""

from __future__ import annotations

import logging
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ctcore.durable import write_text
from ctcore.errors import DatasetError, first_line
from ctcore.nnunet.training.course import TRAINING_CASES, UNKNOWN, VALIDATION_CASES, Course
from ctcore.nnunet.training.fold_files import ALL, PAGE_NAME
from ctcore.nnunet.training.fold_state import IN_TRAINING, STOPPED, TRAINED, FoldState, begun_folds, fold_state
from ctcore.nnunet.training.panels import panels_of
from ctcore.pages.chart import Chart, Curve, Mark, chart_html
from ctcore.pages.pieces import banner, facts, page, table, text, tiles

logger = logging.getLogger(__name__)

PHANTOM_NOTICE = "trained on synthetic CTs (phantoms); the figures say nothing about patients"
EPOCH_AXIS = "epoch (from 0)"


def write_pages(folder: Path) -> None:
    """Writes the page of a fold that is being trained, and that of all folds of its recipe.

    Args:
        folder: the fold's folder, in nnU-Net's place below the recipe's results.

    Raises:
        OutputError: a page could not be written.
    """
    results = results_of(folder)
    _write_fold(fold_state(folder), folder / PAGE_NAME, results / PAGE_NAME)
    _write_whole(results, begun_folds(results), results / PAGE_NAME, lambda fold: fold.folder / PAGE_NAME)


def refresh_pages(folder: Path) -> None:
    """Writes the pages of a training that goes on; what hinders that is told, and costs the pages, not the training."""
    try:
        write_pages(folder)
    except Exception as error:  # people read pages, and see how old one is
        logger.warning("the page of this training could not be drawn: %s", first_line(error))


def write_report(results: Path, output: Path | None = None) -> Path:
    """Writes the pages of all folds of a recipe, and the one of all together; returns where that is.

    Args:
        results: the folder of the recipe's results.
        output: a folder for them; by default they lie where training writes them.

    Raises:
        DatasetError: no fold was begun.
        OutputError: a page could not be written.
    """
    folds = begun_folds(results)
    if not folds:
        raise DatasetError(f"no fold was begun in '{results}'; run `train` first, or give the recipe that did")

    def page_of(fold: FoldState) -> Path:
        return fold.folder / PAGE_NAME if output is None else output / f"{fold.folder.name}.html"

    whole = (output or results) / PAGE_NAME
    for fold in folds:
        _write_fold(fold, page_of(fold), whole)
    _write_whole(results, folds, whole, page_of)
    return whole


def _write_fold(fold: FoldState, path: Path, whole: Path) -> None:
    write_text(path, fold_html(fold, whole=_link(path.parent, whole)))


def _write_whole(results: Path, folds: Sequence[FoldState], path: Path, page_of: Callable[[FoldState], Path]) -> None:
    links = {fold.folder: _link(path.parent, page_of(fold)) for fold in folds if page_of(fold).is_file()}
    write_text(path, training_html(results.name, folds, links))


def results_of(folder: Path) -> Path:
    """Returns the folder of a recipe's results in which a fold's folder lies."""
    return folder.parents[2]


def fold_html(fold: FoldState, *, whole: str = "") -> str:
    """Returns the page of a fold.

    Args:
        fold: the fold.
        whole: link to the page of all folds.
    """
    course = fold.course
    name = str(fold.recipe.get("name") or (course.recipe if course else UNKNOWN))
    back = f'<p><a href="{text(quote(whole))}">All folds</a></p>' if whole else ""
    parts = [
        f"{back}<h1>Training: recipe {text(name)}, {_named(fold)}</h1>",
        f'<p class="soft">{text(fold.folder)} &middot; as of {_now()}</p>',
        banner(PHANTOM_NOTICE) if course is not None and course.phantoms else "",
        _notices([fold]),
        tiles(_tiles(fold)),
        "" if course is None else _fold_curves(course),
        "" if course is None else _figures(course),
        _how(fold),
    ]
    return page(f"Training: {name}, {_named(fold, plain=True)}", "\n".join(parts))


def training_html(name: str, folds: Sequence[FoldState], links: Mapping[Path, str]) -> str:
    """Returns the page of all folds of a recipe.

    Args:
        name: of the recipe.
        folds: those that were begun.
        links: to their pages, by their folders.
    """
    courses = [fold.course for fold in folds if fold.course is not None]
    phantoms = any(course.phantoms for course in courses)
    parts = [
        f"<h1>Training: recipe {text(name)}</h1>",
        f'<p class="soft">{len(folds)} {"fold" if len(folds) == 1 else "folds"} begun &middot; as of {_now()}</p>',
        banner(PHANTOM_NOTICE) if phantoms else "",
        _notices(folds),
        _folds(folds, links),
        _curves_side_by_side(folds),
    ]
    return page(f"Training: {name}", "\n".join(parts))


def _named(fold: FoldState, *, plain: bool = False) -> str:
    words = "all cases" if fold.fold == ALL else f"fold {fold.fold}"
    return words if plain else text(words)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _notices(folds: Sequence[FoldState]) -> str:
    """Returns what is wrong with folds, for a reader to see first."""
    told = []
    for fold in folds:
        name, course = _named(fold), fold.course
        if fold.fault is not None:
            told.append(f"{name}: {text(fold.fault)}; its curves are not shown")
        elif course is not None and fold.state == STOPPED:
            reason = f": {text(course.ended_by)}" if course.ended_by else ""
            told.append(f"{name} stopped after {_done(course)}{reason}; <code>train</code> goes on with it")
        elif course is not None and not course.epochs:
            told.append(f"{name}: no epoch is finished yet")
    return "".join(f'<div class="banner" role="note">{sentence}.</div>' for sentence in told)


def _done(course: Course) -> str:
    return f"{course.epochs[-1] + 1 if course.epochs else 0} of {course.epochs_at_most} epochs"


def _tiles(fold: FoldState) -> list[tuple[str, str]]:
    course = fold.course
    rows = [("state", fold.state)]
    if course is None:
        return rows
    rows.append(("epochs", text(_done(course).removesuffix(" epochs"))))
    if course.best_epoch is not None:
        rows.append(("best epoch", str(course.best_epoch)))
        rows.append((f"its {course.criterion}", _number(course.best_quality)))
    seconds = _seconds(course)
    if seconds:
        rows.append(("seconds an epoch, median", _number(statistics.median(seconds))))
        rows.append(("hours in all", f"{sum(seconds) / 3600:.2f}"))
    return rows


def _fold_curves(course: Course) -> str:
    """Returns the panels of a fold: curves that belong together in one."""
    marks = [Mark(each.first_epoch - 0.5, "continued") for each in course.sessions if each.first_epoch > 0]
    if course.best_epoch is not None:
        marks.append(Mark(course.best_epoch, "best", "best"))
    charts = []
    for panel, names in panels_of(course.figures):
        curves = [
            Curve(panel.words(name), course.epochs, course.figures[name], style) for style, name in enumerate(names)
        ]
        charts.append(chart_html(Chart(panel.title, EPOCH_AXIS, panel.unit, curves, marks, panel.limits)))
    caption = f"Dashed: the best epoch, by {course.criterion}. Dotted: continued after an interruption."
    return _section("Curves", charts, caption)


def _curves_side_by_side(folds: Sequence[FoldState]) -> str:
    """Returns a panel for each figure, in which every fold has its colour and dash."""
    styled = [(style, fold, fold.course) for style, fold in enumerate(folds) if fold.course is not None]
    figures = dict.fromkeys(name for _, _, course in styled for name in course.figures)
    charts = []
    for panel, names in panels_of(figures):
        for name in names:
            curves = [
                Curve(_named(fold, plain=True), course.epochs, course.figures[name], style, course.best_epoch)
                for style, fold, course in styled
                if name in course.figures
            ]
            title = panel.title if len(names) == 1 else f"{panel.title}: {panel.words(name)}"
            charts.append(chart_html(Chart(title, EPOCH_AXIS, panel.unit, curves, limits=panel.limits)))
    return _section("Curves", charts, "A ring is the fold's best epoch.")


def _section(title: str, charts: Sequence[str], caption: str) -> str:
    shown = "".join(charts)
    return f'<h2>{title}</h2><p class="soft">{text(caption)}</p><div class="charts">{shown}</div>' if shown else ""


def _folds(folds: Sequence[FoldState], links: Mapping[Path, str]) -> str:
    """Returns the table of the folds."""
    rows = []
    for fold in folds:
        course, link = fold.course, links.get(fold.folder)
        name = f'<a href="{text(quote(link))}">{_named(fold)}</a>' if link else _named(fold)
        kind = "" if fold.state in (TRAINED, IN_TRAINING) else ' class="failed"'
        cells = [f'<th scope="row">{name}</th><td{kind}>{text(fold.state)}</td>']
        if course is None:
            cells.append("<td></td>" * 7)
        else:
            last = course.sessions[-1].facts if course.sessions else {}
            seconds = _seconds(course)
            best = "" if course.best_epoch is None else str(course.best_epoch)
            quality = "" if course.best_quality is None else f"{_number(course.best_quality)} ({course.criterion})"
            values = [
                _done(course).removesuffix(" epochs"),
                best,
                quality,
                str(max(0, len(course.sessions) - 1)),
                last.get(TRAINING_CASES, UNKNOWN),
                last.get(VALIDATION_CASES, UNKNOWN),
                _number(statistics.median(seconds)) if seconds else "",
            ]
            cells += [f'<td class="number">{text(value)}</td>' for value in values]
        rows.append("".join(cells))
    columns = ("fold", "state", "epochs", "best epoch", "its quality", "continued", TRAINING_CASES, VALIDATION_CASES)
    return table((*columns, "seconds an epoch, median"), rows)


def _figures(course: Course) -> str:
    """Returns the table of all figures: what a reader has who does not see the curves."""
    at_best = course.epochs.index(course.best_epoch) if course.best_epoch in course.epochs else None
    rows = []
    for panel, names in panels_of(course.figures):
        for name in names:
            values = course.figures[name]
            known = [value for value in values if value is not None]
            if not known:
                continue
            shown = [values[-1], None if at_best is None else values[at_best], min(known), max(known)]
            cells = "".join(f'<td class="number">{_number(value)}</td>' for value in shown)
            rows.append(
                f'<th scope="row">{text(panel.title)}: {text(panel.words(name))}</th><td><code>{text(name)}</code></td>'
                + cells
            )
    if not rows:
        return ""
    columns = ("figure", "its curve in TensorBoard", "last epoch", "best epoch", "smallest", "largest")
    return f"<h2>Figures</h2>{table(columns, rows)}"


def _how(fold: FoldState) -> str:
    """Returns what was computed, with what, when."""
    course, parts = fold.course, []
    if course is not None:
        rows: list[tuple[str, Any]] = [("best epoch by", course.criterion)]
        for number, session in enumerate(course.sessions, start=1):
            first = number == 1 and session.first_epoch == 0
            rows.append(("begun" if first else f"continued at epoch {session.first_epoch}", session.started))
        rows += list(course.sessions[-1].facts.items()) if course.sessions else []
        parts.append(f"<h2>How it was computed</h2>{facts(rows)}")
    if fold.recipe:
        parts.append(f"<h2>Recipe</h2>{facts(_flat(fold.recipe))}")
    return "".join(parts)


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Returns nested settings as rows of dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{name}.")
        else:
            rows.append((f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list) else value))
    return rows


def _seconds(course: Course) -> list[float]:
    return [value for value in course.figures.get("seconds_an_epoch", []) if value is not None]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _link(start: Path, target: Path) -> str:
    """Returns the way from a folder to a file, as a page in the folder links to it."""
    return Path(os.path.relpath(target, start)).as_posix()

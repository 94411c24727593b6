"""Measuring a localizer: does the ROI hold the lesion, the pancreas, and how much besides?"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctcore.durable import write_text
from ctcore.errors import CaseError, RequestError, first_line
from ctcore.evaluation.output import alone
from ctcore.evaluation.worst import Worst
from ctcore.json_files import write_json
from ctcore.nnunet.exported import CheckpointChoice
from ctcore.nnunet.preparation.dataset import TrainingCase
from ctcore.nnunet.training.as_trained import trained_recipe
from ctcore.nnunet.training.fold_files import ALL
from ctcore.nnunet.training.validation import folds_to_measure
from ctcore.nnunet.workspace import Workspace
from stage1_localizer.dataset import workspace_at
from stage1_localizer.labelled import validation_cases
from stage1_localizer.margins import FoundMargins, Millimetres, choose_margins
from stage1_localizer.measure import NO_MARGIN, CaseFigures, LocatedCase, Locator, figures_of, locate_case
from stage1_localizer.model import write_model
from stage1_localizer.recipe import LocalizerRecipe
from stage1_localizer.summary import cases_csv, summarize

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from stage1_localizer.figure import CaseView

SCHEMA_VERSION = 1

GRID = "the CT's own; the low-resolution mask is taken there by nearest neighbour"

WORST_SHOWN = 6

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        cases: all cases that could be located.
        failed: the reasons of the others, by case id.
        margin_mm: the margin (z, y, x) in mm that the figures are for.
        found: how that margin was found from these cases; None where recipe or model gives it.
        worst: pictures of the cases whose lesion (or else pancreas) lies farthest beyond the mask, worst first.
        model: what was evaluated.
    """

    cases: tuple[LocatedCase, ...]
    failed: Mapping[str, str]
    margin_mm: Millimetres
    found: FoundMargins | None
    worst: tuple[CaseView, ...]
    model: Mapping[str, Any]

    @property
    def rows(self) -> list[CaseFigures]:
        """The figures of each case."""
        return [figures_of(case, self.margin_mm) for case in self.cases]


class Collector:
    """Locates cases one at a time; keeps their figures and the pictures of the worst.

    Args:
        shown: number of pictures to keep.

    Attributes:
        cases: all cases that could be located.
        failed: the reasons of the others, by case id.
        worst: the pictures kept.
    """

    def __init__(self, shown: int = 0) -> None:
        self.cases: list[LocatedCase] = []
        self.failed: dict[str, str] = {}
        self.worst: Worst[CaseView] = Worst(shown)

    def add(self, localizer: Locator, case: TrainingCase, fold: str = "") -> None:
        """Locates a case; one that cannot be used is named in `failed`."""
        try:
            located, masks = locate_case(localizer, case, fold)
        except CaseError as error:
            self.failed[case.case_id] = first_line(error)
            return
        self.cases.append(located)

        def view() -> CaseView:
            from stage1_localizer.figure import view_of

            return view_of(located, masks)

        self.worst.add(located.lost_mm if located.found else math.inf, located.case_id, view)


def evaluate_model(
    folder: Path, cases: Sequence[TrainingCase], *, device: str = "auto", progress: Progress | None = None
) -> Evaluation:
    """Measures an exported localizer on labelled cases, with its own margins.

    Args:
        folder: an exported stage-1 folder.
        cases: what to measure it on.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with cases done and in all.

    Raises:
        RequestError: the model or the device cannot be used.
    """
    from ctcore.inference.backends.choose import resolve
    from stage1_localizer.localizer import Localizer

    localizer = Localizer(folder, resolve(device))
    collector = Collector(WORST_SHOWN)
    for done, case in enumerate(cases, start=1):
        collector.add(localizer, case)
        if progress:
            progress(done, len(cases))
    model = localizer.model
    described = {"folder": str(folder), "folds": list(model.folds), "trained_on": model.trained_on}
    return Evaluation(tuple(collector.cases), collector.failed, model.margin_mm, None, collector.worst.items, described)


def cross_validate(
    root: Path,
    recipe: LocalizerRecipe,
    *,
    changes: Sequence[str] = (),
    folds: Sequence[str] = (),
    checkpoint: CheckpointChoice = "last",
    device: str = "auto",
    shown: int = WORST_SHOWN,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures trained folds, each on the cases that it did not train on.

    Args:
        root: the workspace.
        recipe: its name says which folds; its values count for the changed fields alone. Where the margin is
            `validation`, the margins are chosen from all cases.
        changes: fields given on the command line, as `FIELD=VALUE`.
        folds: folds to evaluate; all that are trained (but `all`) if not given.
        checkpoint: which weights.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        shown: number of pictures to keep.
        progress: called with cases done and in all.

    Raises:
        RequestError: a fold is not trained or has no validation cases, no lesion was found to choose the margins by,
            the recipe contradicts what was trained, or the device cannot be used.
    """
    trained, as_trained = trained_recipe(workspace_at(root), recipe, changes)
    return _cross_validate(workspace_at(root), as_trained, trained, folds, checkpoint, device, shown, progress)


def _cross_validate(
    workspace: Workspace,
    recipe: LocalizerRecipe,
    trained: Mapping[str, Path],
    folds: Sequence[str],
    checkpoint: CheckpointChoice,
    device: str,
    shown: int,
    progress: Progress | None,
) -> Evaluation:
    from ctcore.inference.backends.choose import resolve

    execution = resolve(device)
    chosen = folds_to_measure(trained, folds)
    cases = {fold: validation_cases(workspace, fold) for fold in chosen}
    total, done = sum(map(len, cases.values())), 0
    collector = Collector(shown)
    for fold in chosen:
        with _fold_localizer(workspace, recipe, {fold: trained[fold]}, checkpoint, execution) as localizer:
            for case in cases[fold]:
                collector.add(localizer, case, fold)
                done += 1
                if progress:
                    progress(done, total)
    found = None
    margin_mm = recipe.margin_mm
    if isinstance(margin_mm, str):
        found = choose_margins([case.need for case in collector.cases], recipe.margin_reserve_mm, chosen)
        margin_mm = found.margin_mm
    described = {"workspace": str(workspace.root), "recipe": recipe.name, "folds": chosen, "checkpoint": checkpoint}
    return Evaluation(tuple(collector.cases), collector.failed, margin_mm, found, collector.worst.items, described)


@contextlib.contextmanager
def _fold_localizer(
    workspace: Workspace,
    recipe: LocalizerRecipe,
    fold: Mapping[str, Path],
    checkpoint: CheckpointChoice,
    execution: Execution,
) -> Iterator[Locator]:
    """Yields one fold as it would run once exported: the same weights, normalisation and rules."""
    from stage1_localizer.localizer import Localizer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(workspace, recipe, fold, folder, trained_on="its fold", margin_mm=NO_MARGIN, checkpoint=checkpoint)
        yield Localizer(folder, execution)


def validation_margins(
    workspace: Workspace,
    recipe: LocalizerRecipe,
    trained: Mapping[str, Path],
    *,
    checkpoint: CheckpointChoice = "last",
    device: str = "auto",
    progress: Progress | None = None,
) -> FoundMargins:
    """Returns the margins that the validation cases of trained folds ask for.

    Args:
        workspace: where they were trained.
        recipe: the recipe as trained; its margin is `validation`.
        trained: the folds' folders.
        checkpoint: which weights.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with cases done and in all.

    Raises:
        RequestError: there is no numbered fold or none with validation cases, or no lesion to choose the margins by.
        CaseError: a validation case could not be read; margins that ignore it would not be what they claim.
    """
    if set(trained) == {ALL}:
        raise RequestError("fold 'all' leaves no cases to choose margins by; give --set margin_mm=[z,y,x] in mm")
    evaluation = _cross_validate(workspace, recipe, trained, (), checkpoint, device, 0, progress)
    if evaluation.failed:
        case_id, reason = next(iter(evaluation.failed.items()))
        raise CaseError(f"{len(evaluation.failed)} validation cases cannot be used, the first '{case_id}': {reason}")
    return choose_margins([case.need for case in evaluation.cases], recipe.margin_reserve_mm, evaluation.model["folds"])


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the figures as `metrics.json` holds them."""
    rows = evaluation.rows
    folds = sorted({row.fold for row in rows if row.fold})
    found = evaluation.found
    return {
        "schema_version": SCHEMA_VERSION,
        "model": dict(evaluation.model),
        "grid": GRID,
        "margin_mm": list(evaluation.margin_mm),
        "margins_found": None if found is None else found.model_dump(mode="json"),
        **summarize(rows),
        "by_fold": {fold: summarize([row for row in rows if row.fold == fold]) for fold in folds},
        "failed": dict(evaluation.failed),
    }


def write_evaluation(evaluation: Evaluation, output: Path) -> dict[str, Any]:
    """Writes `cases.csv`, `worst_cases.png` and, last, `metrics.json`; returns the metrics.

    Raises:
        FolderInUseError: another command writes there.
    """
    from stage1_localizer.figure import draw_worst

    metrics = metrics_of(evaluation)
    with alone(output):
        (output / "metrics.json").unlink(missing_ok=True)  # the sign of a complete evaluation
        write_text(output / "cases.csv", cases_csv(evaluation.rows, evaluation.failed))
        if evaluation.worst:
            draw_worst(evaluation.worst, evaluation.margin_mm, output / "worst_cases.png")
        write_json(output / "metrics.json", metrics)
    return metrics

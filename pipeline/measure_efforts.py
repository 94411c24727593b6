"""Measuring what less effort costs in accuracy, on validation cases, and the bundle that knows it."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ctcore.errors import DatasetError
from ctcore.inference.effort import Effort
from pipeline.budget import Choice
from pipeline.bundle import Bundle
from pipeline.create_bundle import remade
from pipeline.efforts import MeasuredEffort
from pipeline.outputs import OutputFolder
from pipeline.records import RunOptions
from pipeline.run import run_cohort

if TYPE_CHECKING:
    from ctcore.inference.backends.choose import Execution
    from ctcore.volume import Geometry
    from pipeline.stages import PredictorStage, Stages

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Always:
    """Chooses one effort for every case."""

    effort: Effort

    def __call__(
        self, predictor: PredictorStage, geometry: Geometry, pancreas: npt.NDArray[Any], spent: float, /
    ) -> Choice:
        del predictor, geometry, pancreas, spent
        return Choice(self.effort)


@dataclass(frozen=True)
class _Figures:
    """What an effort comes to: seconds of stage 2 a case, AUROC, average precision."""

    seconds: float
    auroc: float
    ap: float


def measure_efforts(
    bundle: Bundle,
    images: Path,
    case_labels: Path,
    labels: Path,
    output: Path,
    execution: Execution,
    *,
    measured_on: str,
    load: Callable[[], Stages],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Makes a bundle with the same content and a table of efforts, measured by running each of them on all cases.

    The full effort is all folds, mirrored images where training mirrored, and exact windows.

    Args:
        bundle: the bundle; calibrated before, for losses are of its scores as they are.
        images: CTs that the bundle was not trained on.
        case_labels: table `case_id,class_name` of them.
        labels: their label maps.
        output: folder of the new bundle; beside it the runs lie while they are measured.
        execution: device, backend and precision.
        measured_on: which cases these are, in a few words.
        load: loads both stages for the full effort.
        overwrite: whether a bundle that already lies at `output` is replaced.
        progress: called with efforts done and in all.

    Raises:
        RequestError: the input, a table or the output cannot be used.
        DatasetError: a case failed, or the cases do not give an AUROC and an average precision.
    """
    stages = load()
    efforts = efforts_below(stages.predictor.effort)
    output.parent.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(dir=output.parent, prefix=".efforts-"))
    found: list[_Figures] = []
    try:
        for done, effort in enumerate(efforts):
            if progress is not None:
                progress(done, len(efforts))
            folder = OutputFolder(runs / str(done))
            found.append(_measure(bundle, images, case_labels, labels, folder, execution, stages, effort))
            shutil.rmtree(folder.folder)
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    full = found[0]
    table = [
        MeasuredEffort(
            folds=effort.folds,
            tta=effort.tta,
            windows=effort.windows,
            relative_cost=figures.seconds / full.seconds,
            seconds_per_case=figures.seconds,
            auroc_loss=full.auroc - figures.auroc,
            ap_loss=full.ap - figures.ap,
            measured_on=measured_on,
        )
        for effort, figures in zip(efforts, found, strict=True)
    ]
    return remade(bundle, output, overwrite=overwrite, efforts=table)


def efforts_below(full: Effort) -> list[Effort]:
    """Returns the efforts that are measured, the full one first.

    They have one fold, about half of them, all; mirrored images or not; exact windows or guided ones.
    """
    counts = sorted({full.folds, math.ceil(full.folds / 2), 1}, reverse=True)
    return [
        Effort(folds, tta, windows)
        for folds in counts
        for tta in ((True, False) if full.tta else (False,))
        for windows in ("exact", "guided")
    ]


def _measure(
    bundle: Bundle,
    images: Path,
    case_labels: Path,
    labels: Path,
    folder: OutputFolder,
    execution: Execution,
    stages: Stages,
    effort: Effort,
) -> _Figures:
    """Runs one effort on all cases and evaluates it."""
    from ctcore.evaluation.evaluate import evaluate

    options = RunOptions(windows="exact", report=False)
    summary = run_cohort(images, folder, bundle, execution, options, load=lambda: stages, chooser=_Always(effort))
    if summary.failed:
        first = summary.failed[0]
        raise DatasetError(f"case '{first.case_id}' of '{images}' failed ({first.error}); leave it out")
    metrics = evaluate(
        folder.folder,
        labels,
        folder.folder / "evaluation",
        case_labels=case_labels,
        positive_classes=bundle.manifest.lesion_classes,
        bootstrap=0,
        page=False,
    )
    if metrics.auroc.value is None or metrics.ap.value is None:
        raise DatasetError(f"'{case_labels}' needs cases with a lesion and without, to measure what less effort costs")
    seconds: Sequence[float] = [record.seconds["predict"] for record in summary.records]
    return _Figures(math.fsum(seconds) / len(seconds), metrics.auroc.value, metrics.ap.value)
